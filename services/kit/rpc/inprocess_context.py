"""The handler's end of a call within the process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any, NoReturn

import grpc
import structlog
from grpc.aio import EOF, AbortError, ServicerContext

from services.kit.rpc.calls import INSIDE
from services.kit.rpc.exchange import Exchange, Metadatum

_log = structlog.get_logger("bazaar.rpc")


class InProcessContext(ServicerContext[Any, Any]):
    """What a handler gets as its context."""

    _code: grpc.StatusCode | None = None
    _details = ""
    _trailing_metadata: tuple[Metadatum, ...] = ()

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._handler = exchange.handler

    async def serve(self) -> None:
        """Runs the handler to its end, whichever way that comes, and sends what it returns, and the status."""
        exchange, handler = self._exchange, self._handler
        behaviour: Any = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
        try:
            request = self._requests() if handler.request_streaming else await self.read()
            response = await behaviour(request, self)
            code = self._code or grpc.StatusCode.OK
            if code is grpc.StatusCode.OK and not handler.response_streaming:
                await self.write(response)
            exchange.finish(code, self._details, self._trailing_metadata)
        except grpc.aio.AbortError:
            pass  # It has sent its status.
        except asyncio.CancelledError:
            exchange.finish(grpc.StatusCode.CANCELLED, "The handler was cancelled.")
        except Exception as error:
            _log.error("a handler failed outside of its pipeline", method=exchange.path, exc_info=error)
            exchange.finish(grpc.StatusCode.UNKNOWN, f"Unexpected {type(error).__name__}")

    async def read(self) -> Any:
        exchange = self._exchange
        if exchange.requests is None:
            data, exchange.request = exchange.request, None
        else:
            data = await exchange.receive(exchange.requests)
        return EOF if data is None else self._handler.request_deserializer(data) if self._handler.request_deserializer else data

    async def write(self, message: Any) -> None:
        exchange = self._exchange
        exchange.start(())
        data = self._handler.response_serializer(message) if self._handler.response_serializer else message
        if exchange.responses is None:
            exchange.response = data
        else:
            await exchange.responses.put(data)

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
        return INSIDE

    def peer_identities(self) -> None:
        return None

    def peer_identity_key(self) -> None:
        return None

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        return {}

    def time_remaining(self) -> Any:
        return self._exchange.remaining()

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        self._exchange.on_end(lambda _: callback(self))

    def cancelled(self) -> bool:
        return self._exchange.code is grpc.StatusCode.CANCELLED

    def done(self) -> bool:
        return self._exchange.code is not None

    async def _requests(self) -> AsyncIterator[Any]:
        while (message := await self.read()) is not EOF:
            yield message
