"""Which traces are recorded, decided once where a trace begins."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

ALL_UP_TO_PER_SECOND = 50.0
"""Traces a second and process that are all recorded when BAZAAR_TRACE_SAMPLING is unset."""
RATIO_ABOVE = 0.1
"""Part of the traces recorded beyond that."""

_TRACE_ID_BITS = (1 << 64) - 1


class Sampler(Protocol):
    def __call__(self, trace_id: int, /) -> bool:
        """Whether this new trace is recorded."""
        ...


def sampler_from(setting: str) -> Sampler:
    """The sampler that BAZAAR_TRACE_SAMPLING asks for.

    Args:
        setting: "all", a ratio from "0" to "1", or "" for all up to 50 traces/s and 10 % beyond.

    Raises:
        ValueError: the setting is none of these.
    """
    if setting == "":
        return BudgetSampler(ALL_UP_TO_PER_SECOND, RATIO_ABOVE)
    if setting == "all":
        return RatioSampler(1.0)
    try:
        return RatioSampler(float(setting))
    except ValueError:
        raise ValueError(f"BAZAAR_TRACE_SAMPLING is {setting!r}; it takes all, or a ratio from 0 to 1") from None


class RatioSampler:
    """Records a part of all traces, chosen by trace id: whoever asks gets the same answer."""

    def __init__(self, ratio: float) -> None:
        if not 0.0 <= ratio <= 1.0:
            raise ValueError(f"a sampling ratio is from 0 to 1, not {ratio}")
        self._bound = round(ratio * (_TRACE_ID_BITS + 1))

    def __call__(self, trace_id: int, /) -> bool:
        return trace_id & _TRACE_ID_BITS < self._bound


class BudgetSampler:
    """Records every trace while they are few (a token bucket that holds one second), a ratio of them beyond that.

    Args:
        per_second: traces a second that are all recorded.
        ratio: part of the others that is recorded, chosen by trace id.
        monotonic: the clock, in seconds.
    """

    def __init__(self, per_second: float, ratio: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._beyond = RatioSampler(ratio)
        self._monotonic = monotonic
        self._tokens = per_second
        self._filled_at = monotonic()

    def __call__(self, trace_id: int, /) -> bool:
        now = self._monotonic()
        self._tokens = min(self._per_second, self._tokens + (now - self._filled_at) * self._per_second)
        self._filled_at = now
        if self._tokens >= 1.0:
            self._tokens -= 1.0
            return True
        return self._beyond(trace_id)
