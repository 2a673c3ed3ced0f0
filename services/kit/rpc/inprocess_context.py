"""The handler's end of a call within the process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any, NoReturn

import grpc
from grpc.aio import EOF, AbortError, ServicerContext

from services.kit.rpc.exchange import Exchange, Metadatum

_PEER = "inprocess:"


class InProcessContext(ServicerContext[Any, Any]):
    """What a handler gets as its context."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._handler = exchange.handler
        self._code: grpc.StatusCode | None = None
        self._details = ""
        self._trailing_metadata: tuple[Metadatum, ...] = ()

    async def serve(self) -> None:
        """Runs the handler to its end and sends what it returns, and the status."""
        handler = self._handler
        behaviour: Any = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
        request = self._requests() if handler.request_streaming else await self.read()
        response = await behaviour(request, self)
        code = self._code or grpc.StatusCode.OK
        if code is grpc.StatusCode.OK and not handler.response_streaming:
            await self.write(response)
        self._exchange.finish(code, self._details, self._trailing_metadata)

    async def read(self) -> Any:
        data = await self._exchange.receive()
        return EOF if data is None else self._handler.request_deserializer(data) if self._handler.request_deserializer else data

    async def write(self, message: Any) -> None:
        self._exchange.start(())
        await self._exchange.responses.put(self._handler.response_serializer(message) if self._handler.response_serializer else message)

    async def send_initial_metadata(self, initial_metadata: Iterable[Metadatum]) -> None:
        if self._exchange.initial_metadata is not None:
            raise grpc.aio.UsageError("Send initial metadata failed: already sent")
        self._exchange.start(tuple(initial_metadata))

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: Iterable[Metadatum] = ()) -> NoReturn:
        self._code, self._details = code, details or self._details
        self._trailing_metadata = tuple(trailing_metadata) or self._trailing_metadata
        self._exchange.finish(code, self._details, self._trailing_metadata)
        raise AbortError("Locally aborted.")

    async def abort_with_status(self, status: grpc.Status) -> NoReturn:
        await self.abort(status.code, status.details, status.trailing_metadata or ())

    def set_trailing_metadata(self, trailing_metadata: Iterable[Metadatum]) -> None:
        self._trailing_metadata = tuple(trailing_metadata)

    def trailing_metadata(self) -> Any:
        return self._trailing_metadata

    def invocation_metadata(self) -> Any:
        return self._exchange.metadata

    def set_code(self, code: grpc.StatusCode) -> None:
        self._code = code

    def code(self) -> Any:
        return self._code

    def set_details(self, details: str) -> None:
        self._details = details

    def details(self) -> str:
        return self._details

    def set_compression(self, compression: grpc.Compression) -> None:
        """Nothing is compressed."""

    def disable_next_message_compression(self) -> None:
        """Nothing is compressed."""

    def peer(self) -> str:
        return _PEER

    def peer_identities(self) -> None:
        return None

    def peer_identity_key(self) -> None:
        return None

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        return {}

    def time_remaining(self) -> Any:
        return self._exchange.remaining()

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        self._exchange.on_end(lambda: callback(self))

    def cancelled(self) -> bool:
        return self._exchange.code is grpc.StatusCode.CANCELLED

    def done(self) -> bool:
        return self._exchange.code is not None

    async def _requests(self) -> AsyncIterator[Any]:
        while (message := await self.read()) is not EOF:
            yield message
