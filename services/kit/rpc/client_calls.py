"""Calls as their caller holds them: with a span around, or sent again while nobody is there to answer."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Generator
from typing import Any, cast

import grpc
from grpc.aio import AioRpcError

from services.kit.rpc.status import reason_of
from services.kit.telemetry.calls import finish
from services.kit.telemetry.tracing import AnySpan

_FIRST_PAUSE_SECONDS = 0.1
"""Twice as long for the second: together, at half of that, still longer than a channel waits before it connects again (client.py)."""
_NOBODY = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
"""Nobody is there to answer. A gRPC server that stops calls off what has just come; what the caller itself calls off ends otherwise."""


class _OuterCall(grpc.aio.UnaryUnaryCall[Any, Any]):
    """A call around another one."""

    def __init__(self, call: Any) -> None:
        self._call = call

    def __await__(self) -> Generator[Any, None, Any]:
        return self._call.__await__()

    def cancel(self) -> bool:
        return self._call.cancel()

    def cancelled(self) -> bool:
        return self._call.cancelled()

    def done(self) -> bool:
        return self._call.done()

    def time_remaining(self) -> float | None:
        return self._call.time_remaining()

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        self._call.add_done_callback(callback)

    async def initial_metadata(self) -> Any:
        return await self._call.initial_metadata()

    async def trailing_metadata(self) -> Any:
        return await self._call.trailing_metadata()

    async def code(self) -> grpc.StatusCode:
        return await self._call.code()

    async def details(self) -> str:
        return await self._call.details()

    async def wait_for_connection(self) -> None:
        await self._call.wait_for_connection()


class TracedCall(_OuterCall):
    """Ends the call's span when the answer has been awaited."""

    def __init__(self, call: Any, span: AnySpan) -> None:
        super().__init__(call)
        self._span = span

    def __await__(self) -> Generator[Any, None, Any]:
        span = self._span
        try:
            response = cast("object", (yield from self._call.__await__()))
            finish(span, "OK")
            return response
        except AioRpcError as error:
            finish(span, error.code().name, reason_of(error) or "")
            raise
        except asyncio.CancelledError:
            finish(span, "CANCELLED")
            raise
        finally:
            span.end()


class RepeatedCall(_OuterCall):
    """Is sent again while it finds nobody.

    Args:
        attempts: how often it is sent at most, this time included.
    """

    def __init__(self, call: Any, send_again: Callable[[], Any], attempts: int) -> None:
        super().__init__(call)
        self._send_again = send_again
        self._attempts_left = attempts - 1
        self._pause_seconds = _FIRST_PAUSE_SECONDS

    def __await__(self) -> Generator[Any, None, Any]:
        return self._result().__await__()

    def cancel(self) -> bool:
        self._attempts_left = 0
        return self._call.cancel()

    async def _result(self) -> Any:
        while True:
            try:
                return await self._call
            except AioRpcError as error:
                if error.code() not in _NOBODY or not self._attempts_left:
                    raise
            await self._pause()
            self._call = self._send_again()

    async def _pause(self) -> None:
        self._attempts_left -= 1
        longest, self._pause_seconds = self._pause_seconds, 2 * self._pause_seconds
        await asyncio.sleep(random.uniform(longest / 2, longest))


async def together(*calls: Any) -> list[Any]:
    """The answers of calls that are under way; asyncio.gather would make a task for each.

    Raises:
        AioRpcError: the first of the calls that failed, once all have ended.
    """
    answers: list[Any] = []
    failures: list[AioRpcError] = []
    for call in calls:
        try:
            answers.append(await call)
        except AioRpcError as error:
            failures.append(error)
    if failures:
        raise failures[0]
    return answers
