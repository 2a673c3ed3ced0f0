"""What a process leaves out when it has too much to do, so that what matters more goes on.

Every method has a priority in its options. Calls of clients are refused from 3 on, and at twice as much to do from 2 on; never those of
priority 1, and never those of other services, which are part of something that was let in. The edge hears of a refusal by its metadata, and
then refuses for a while itself (gateway/shedding.lua).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from types import TracebackType

from opentelemetry import metrics

from services.kit.errors import Unavailable

SHED_METADATA = "x-bazaar-shed"
"""The priority from which on calls are refused."""

LEAST = 3
"""The lowest priority there is."""

_COME_BACK_AFTER = timedelta(seconds=1)
_shed = metrics.get_meter("bazaar").create_counter("bazaar.shed.calls", description="Calls of clients that were refused for others' sake.")


class Shed(Unavailable):
    """Refused so that what matters more goes on."""

    reason = "SHED"

    def __init__(self, priority: int) -> None:
        super().__init__(
            "Too much is asked for at the moment; what matters more goes first.", retry_after=_COME_BACK_AFTER, priority=f"{priority}"
        )


class Pressure:
    """How much a process has to do for clients; entered for as long as one of their calls lasts.

    Args:
        most_calls: of clients, at work at once, streams aside; 0: any number.
        most_wait: seconds that a call may wait to be answered at all; 0: any time.
        wait: tells how long that is.
    """

    def __init__(self, *, most_calls: int = 0, most_wait: float = 0.0, wait: Callable[[], float] = lambda: 0.0) -> None:
        self._most_calls = most_calls
        self._most_wait = most_wait
        self._wait = wait
        self._calls = 0

    def __enter__(self) -> None:
        self._calls += 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._calls -= 1

    @property
    def shed_from(self) -> int:
        """The priority from which on calls are refused; one more than the lowest: none is."""
        by_calls = self._calls / self._most_calls if self._most_calls else 0.0
        by_wait = self._wait() / self._most_wait if self._most_wait else 0.0
        pressure = max(by_calls, by_wait)
        return LEAST + 1 if pressure < 1 else LEAST if pressure < 2 else LEAST - 1

    def check(self, priority: int) -> None:
        """Lets a client's call pass, or not.

        Raises:
            Shed: there is too much to do for calls of this priority.
        """
        if priority >= self.shed_from:
            _shed.add(1, {"bazaar.priority": priority})
            raise Shed(priority)
