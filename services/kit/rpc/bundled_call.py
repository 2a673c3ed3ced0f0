"""The caller's end of a call that may go to its server with others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any, cast

import grpc
from grpc.aio import AioRpcError

from bazaar.rpc.v1 import bundle_pb2 as pb
from services.kit.rpc.status import CODES

Metadata = Sequence[tuple[str, str | bytes]]


def received(metadata: Iterable[pb.Metadatum]) -> list[tuple[str, str | bytes]]:
    """Metadata as gRPC gives them to who hears them."""
    return [(each.key, each.value if each.key.endswith("-bin") else each.value.decode(errors="replace")) for each in metadata]


class BundledCall(grpc.aio.UnaryUnaryCall[Any, Any]):
    """One call, from when it was made until its outcome.

    Args:
        timeout: seconds.
    """

    def __init__(self, request: bytes, timeout: float, metadata: Metadata, deserialize: Callable[[bytes], Any]) -> None:
        self.request = request
        self.timeout = timeout
        self.metadata = metadata
        self._deserialize = deserialize
        self._deadline = time.monotonic() + timeout
        self._alone: Any = None
        """The call itself, when it went alone."""
        self._known: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Resolves when it has gone alone, or its outcome is there."""
        self._response: Any = None
        self._initial_metadata: Metadata = ()
        self._trailing_metadata: Metadata = ()
        self._error: AioRpcError | None = None
        self._leave: Callable[[], Any] | None = None
        self._clock: asyncio.TimerHandle | None = None

    def send_alone(self, send: Callable[..., Any]) -> None:
        """Goes as any call does."""
        self._alone = send(self.request, timeout=max(0.0, self._deadline - time.monotonic()), metadata=self.metadata)
        self._known.set_result(None)

    def is_under_way(self, leave: Callable[[], Any], *, is_first: bool) -> None:
        """It has gone with others.

        Args:
            leave: called when it is cancelled.
            is_first: whether its time is up before the bundle's.
        """
        self._leave = leave
        if is_first:
            expire = (grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")
            self._clock = asyncio.get_running_loop().call_later(max(0.0, self._deadline - time.monotonic()), self.fail, *expire)

    def settle(self, outcome: pb.BundleAnswer.Outcome) -> None:
        """Takes the answer."""
        if self._known.done():
            return
        self._initial_metadata = received(outcome.initial_metadata)
        self._trailing_metadata = received(outcome.trailing_metadata)
        if outcome.code:
            self.fail(CODES.get(outcome.code, grpc.StatusCode.UNKNOWN), outcome.message)
            return
        self._response = self._deserialize(outcome.response)
        self._end()

    def fail(self, code: grpc.StatusCode, details: str) -> None:
        """Ends it with an error, unless it has ended."""
        if not self._known.done():
            initial, trailing = grpc.aio.Metadata(*self._initial_metadata), grpc.aio.Metadata(*self._trailing_metadata)
            self._error = AioRpcError(code, initial, trailing, details, details)
            self._end()

    def __await__(self) -> Generator[Any, None, Any]:
        if not self._known.done():
            try:
                yield from self._known
            except asyncio.CancelledError:
                self.cancel()
                raise
        if self._alone is not None:
            if self._response is None:
                self._response = self._deserialize(cast("bytes", (yield from self._alone.__await__())))
            return self._response
        self._known.result()
        if self._error is not None:
            raise self._error
        return self._response

    def cancel(self) -> bool:
        if self._alone is not None:
            return self._alone.cancel()
        was_open = self._known.cancel()
        if self._known.cancelled() and self._leave:
            leave, self._leave = self._leave, None
            leave()
        return was_open

    def cancelled(self) -> bool:
        return self._alone.cancelled() if self._alone is not None else self._known.cancelled()

    def done(self) -> bool:
        return self._alone.done() if self._alone is not None else self._known.done()

    def time_remaining(self) -> float | None:
        return max(0.0, self._deadline - time.monotonic())

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        self._known.add_done_callback(lambda _: self._alone.add_done_callback(callback) if self._alone is not None else callback(self))

    async def initial_metadata(self) -> grpc.aio.Metadata:
        await self._ended()
        return await self._alone.initial_metadata() if self._alone is not None else grpc.aio.Metadata(*self._initial_metadata)

    async def trailing_metadata(self) -> grpc.aio.Metadata:
        await self._ended()
        return await self._alone.trailing_metadata() if self._alone is not None else grpc.aio.Metadata(*self._trailing_metadata)

    async def code(self) -> grpc.StatusCode:
        await self._ended()
        if self._alone is not None:
            return await self._alone.code()
        if self._known.cancelled():
            return grpc.StatusCode.CANCELLED
        return self._error.code() if self._error else grpc.StatusCode.OK

    async def details(self) -> str:
        await self._ended()
        if self._alone is not None:
            return await self._alone.details()
        return (self._error.details() or "") if self._error else ""

    async def debug_error_string(self) -> str:
        return await self.details()

    async def wait_for_connection(self) -> None:
        await self._ended()
        if self._alone is not None:
            await self._alone.wait_for_connection()

    async def _ended(self) -> None:
        await asyncio.wait([self._known])

    def _end(self) -> None:
        if self._clock:
            self._clock.cancel()
        self._known.set_result(None)
