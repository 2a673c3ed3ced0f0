"""The caller's end of a call within the process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Generator
from typing import Any

import grpc
from grpc.aio import EOF, AioRpcError, Metadata

from services.kit.rpc.exchange import Exchange, Serialize
from services.kit.rpc.pipes import Pipe
from services.kit.rpc.server import MAX_MESSAGE_BYTES

Deserialize = Callable[[bytes], Any]


class InProcessCall(
    grpc.aio.UnaryUnaryCall[Any, Any],
    grpc.aio.UnaryStreamCall[Any, Any],
    grpc.aio.StreamUnaryCall[Any, Any],
    grpc.aio.StreamStreamCall[Any, Any],
):
    """All four kinds of call in one; a stub uses the part that its method has."""

    def __init__(self, exchange: Exchange, serialize: Serialize, deserialize: Deserialize) -> None:
        self._exchange = exchange
        self._serialize = serialize
        self._deserialize = deserialize
        self._response: Any = None

    def __del__(self) -> None:
        # Nobody waits any more: as over a socket, the handler hears of it.
        self._exchange.cancel()

    def __await__(self) -> Generator[Any, None, Any]:
        # A generator, not a coroutine in one: the event loop passes through each at every step.
        while self._exchange.code is None:
            try:
                yield from self._exchange.change()
            except asyncio.CancelledError:
                self._exchange.cancel()
                raise
        if self._response is None:
            self._response = self._only_response()
        return self._response

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._messages()

    async def read(self) -> Any:
        data = await self._received()
        if data is None:
            await self._exchange.until_ended()
            self._raise_for_status()
            return EOF
        return self._deserialize(data)

    async def write(self, request: Any) -> None:
        pipe = _streamed(self._exchange.requests)
        if not await self._uncancelled(pipe.put(self._serialize(request))):
            self._raise_for_status()
            raise asyncio.InvalidStateError("The call has ended.")

    async def done_writing(self) -> None:
        _streamed(self._exchange.requests).close()

    def cancel(self) -> bool:
        return self._exchange.cancel()

    def cancelled(self) -> bool:
        return self._exchange.code is grpc.StatusCode.CANCELLED

    def done(self) -> bool:
        return self._exchange.code is not None

    def time_remaining(self) -> float | None:
        return self._exchange.remaining()

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        self._exchange.on_end(lambda _: callback(self))

    async def initial_metadata(self) -> Metadata:
        await self._exchange.until_started()
        return Metadata(*(self._exchange.initial_metadata or ()))

    async def trailing_metadata(self) -> Metadata:
        await self._exchange.until_ended()
        return Metadata(*self._exchange.trailing_metadata)

    async def code(self) -> grpc.StatusCode:
        await self._exchange.until_ended()
        return self._exchange.code or grpc.StatusCode.UNKNOWN

    async def details(self) -> str:
        await self._exchange.until_ended()
        return self._exchange.details

    async def debug_error_string(self) -> str:
        """Nothing more than the details: there is no wire to tell of."""
        return await self.details()

    async def wait_for_connection(self) -> None:
        """Returns at once, unless the call has failed."""
        self._raise_for_status()

    def _only_response(self) -> Any:
        self._raise_for_status()
        data = self._exchange.response
        if data is None:
            raise self._error(grpc.StatusCode.INTERNAL, "The handler ended without a response.")
        if len(data) > MAX_MESSAGE_BYTES:
            raise self._error(grpc.StatusCode.RESOURCE_EXHAUSTED, "CLIENT: Received message larger than max")
        return self._deserialize(data)

    async def _messages(self) -> AsyncIterator[Any]:
        while (message := await self.read()) is not EOF:
            yield message

    async def _received(self) -> bytes | None:
        data = await self._uncancelled(_streamed(self._exchange.responses).get())
        if data is not None and len(data) > MAX_MESSAGE_BYTES:
            if self._exchange.code is None:
                self._exchange.refuse_size("CLIENT", len(data))
                self._raise_for_status()
            raise self._error(grpc.StatusCode.RESOURCE_EXHAUSTED, "CLIENT: Received message larger than max")
        return data

    async def _uncancelled(self, waiting: Any) -> Any:
        try:
            return await waiting
        except asyncio.CancelledError:
            self._exchange.cancel()
            raise

    def _raise_for_status(self) -> None:
        exchange = self._exchange
        if exchange.is_cancelled_by_caller:
            raise asyncio.CancelledError
        if exchange.code not in (None, grpc.StatusCode.OK):
            raise self._error(exchange.code, exchange.details)

    def _error(self, code: grpc.StatusCode, details: str) -> AioRpcError:
        exchange = self._exchange
        return AioRpcError(code, Metadata(*(exchange.initial_metadata or ())), Metadata(*exchange.trailing_metadata), details, details)


def _streamed(pipe: Pipe | None) -> Pipe:
    if pipe is None:
        raise grpc.aio.UsageError("This end of the call is no stream.")
    return pipe
