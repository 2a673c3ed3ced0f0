"""How much one service works on at once; beyond that it is better to say no at once than late."""

from __future__ import annotations

from datetime import timedelta
from types import TracebackType

from services.kit.errors import Overloaded

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
