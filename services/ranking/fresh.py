"""Answers that many ask for at once: read once, good for a second."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable
from datetime import timedelta
from typing import Any, Generic, TypeVar

from services.kit.rpc.calls import outlive_caller

GOOD_FOR_SECONDS = 1.0
_READ_WITHIN = timedelta(seconds=5)
_REMEMBERED = 1024

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Fresh(Generic[K, V]):
    """Remembers what `read` answered for a second; those who ask meanwhile wait for the same read. Never answers anything older.

    The read belongs to all who wait for it: it has a time budget of its own, and goes on when whoever began it hangs up.
    """

    def __init__(self, read: Callable[[K], Coroutine[Any, Any, V]]) -> None:
        self._read = read
        self._answers: OrderedDict[K, tuple[float, asyncio.Future[V]]] = OrderedDict()

    async def get(self, key: K) -> V:
        """The answer for a key. A failure is told to everybody who waits, and not remembered."""
        found = self._answers.get(key)
        if found is None or time.monotonic() - found[0] > GOOD_FOR_SECONDS or _has_failed(found[1]):
            found = (time.monotonic(), asyncio.ensure_future(outlive_caller(self._read(key), _READ_WITHIN)))
            found[1].add_done_callback(_has_failed)  # looks at a failure that nobody waits for any more
            self._answers[key] = found
            self._answers.move_to_end(key)
            if len(self._answers) > _REMEMBERED:
                self._answers.popitem(last=False)
        return found[1].result() if found[1].done() else await asyncio.shield(found[1])


def _has_failed(answer: asyncio.Future[V]) -> bool:
    return answer.done() and (answer.cancelled() or answer.exception() is not None)
