"""How much one service works on at once; beyond that it is better to say no at once than late."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from types import TracebackType

from services.kit.errors import Overloaded, Unavailable

_COME_BACK_AFTER = timedelta(seconds=1)


class Cap:
    """Counts the calls in flight; entering it beyond the limit raises Overloaded."""

    def __init__(self, service: str, limit: int) -> None:
        self.in_flight = 0
        self._service = service
        self._limit = limit

    def __enter__(self) -> None:
        if self.in_flight >= self._limit:
            raise Overloaded(f"{self._service} works on {self._limit} calls already.", retry_after=_COME_BACK_AFTER, queue=self._service)
        self.in_flight += 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.in_flight -= 1


class GoingAway(Unavailable):
    """The process stops; another one, or its successor, goes on."""


class OpenStreams:
    """The streams that a process has open. They could go on for ever, so a drain ends them instead of waiting."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[object]] = set()
        self._ended: set[asyncio.Task[object]] = set()

    def __enter__(self) -> None:
        if task := asyncio.current_task():
            self._running.add(task)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        task = asyncio.current_task()
        if task is None:
            return
        self._running.discard(task)
        if kind is asyncio.CancelledError and task in self._ended:
            self._ended.discard(task)
            task.uncancel()
            raise GoingAway("The server goes away; connect again.")

    def end(self) -> None:
        """Ends every stream with UNAVAILABLE."""
        for task in self._running:
            self._ended.add(task)
            task.cancel()
