"""The way to a service that lives in the same process.

A call behaves as over a socket: the handler runs in a task and a context of its own, messages are copied (serialised and parsed, which
also gives their size), limits, deadlines, cancellation and flow control hold. What is saved is the wire: ~10 times the cost.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from typing import Any

import grpc
from grpc.aio import Channel

from services.kit.rpc.exchange import Exchange, Serialize
from services.kit.rpc.inprocess_call import InProcessCall
from services.kit.rpc.inprocess_context import InProcessContext
from services.kit.rpc.pipes import Pipe
from services.kit.rpc.server import Registry

Deserialize = Callable[[bytes], Any]
Metadata = Iterable[tuple[str, str | bytes]] | None


class InProcessServer:
    """Runs the registry's handlers for callers in the same process."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._exchanges: set[Exchange] = set()
        self._is_stopping = False

    def channel(self) -> InProcessChannel:
        """A channel to every service of this process."""
        return InProcessChannel(self)

    def begin(
        self,
        path: str,
        timeout: float | None,
        metadata: Metadata,
        *,
        request: bytes | None = None,
        requests: Pipe | None = None,
        responses: Pipe | None = None,
    ) -> Exchange:
        """Starts a call: with its only request, or a pipe that requests are put into next."""
        exchange = Exchange(path, self._registry.find(path), timeout, tuple(metadata or ()), request, requests, responses)
        if self._is_stopping:
            exchange.finish(grpc.StatusCode.UNAVAILABLE, "The server is shutting down.")
            return exchange
        self._exchanges.add(exchange)
        exchange.on_end(self._exchanges.discard)
        exchange.run(InProcessContext(exchange).serve)
        return exchange

    async def stop(self, grace: float) -> None:
        """Refuses new calls, waits so many seconds for those in flight, then cancels them."""
        self._is_stopping = True
        if tasks := [exchange.task for exchange in self._exchanges if exchange.task]:
            await asyncio.wait(tasks, timeout=grace)
        for exchange in list(self._exchanges):
            exchange.abandon(grpc.StatusCode.UNAVAILABLE, "The server has shut down.")


class InProcessChannel(Channel):
    """A grpc.aio.Channel for generated stubs."""

    def __init__(self, server: InProcessServer) -> None:
        self._server = server

    def unary_unary(
        self,
        method: str,
        request_serializer: Serialize | None = None,
        response_deserializer: Deserialize | None = None,
        _registered_method: bool = False,
    ) -> Any:
        return _OneRequest(self._server, method, request_serializer, response_deserializer, streams_responses=False)

    def unary_stream(
        self,
        method: str,
        request_serializer: Serialize | None = None,
        response_deserializer: Deserialize | None = None,
        _registered_method: bool = False,
    ) -> Any:
        return _OneRequest(self._server, method, request_serializer, response_deserializer, streams_responses=True)

    def stream_unary(
        self,
        method: str,
        request_serializer: Serialize | None = None,
        response_deserializer: Deserialize | None = None,
        _registered_method: bool = False,
    ) -> Any:
        return _ManyRequests(self._server, method, request_serializer, response_deserializer, streams_responses=False)

    def stream_stream(
        self,
        method: str,
        request_serializer: Serialize | None = None,
        response_deserializer: Deserialize | None = None,
        _registered_method: bool = False,
    ) -> Any:
        return _ManyRequests(self._server, method, request_serializer, response_deserializer, streams_responses=True)

    async def close(self, grace: float | None = None) -> None:
        """Does nothing: the server's stop ends the calls."""

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return grpc.ChannelConnectivity.READY

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await asyncio.get_running_loop().create_future()

    async def channel_ready(self) -> None:
        """Returns at once."""

    async def __aenter__(self) -> InProcessChannel:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class _Callable:
    def __init__(
        self, server: InProcessServer, path: str, serialize: Serialize | None, deserialize: Deserialize | None, *, streams_responses: bool
    ) -> None:
        self._server = server
        self._path = path
        self._serialize: Serialize = serialize or bytes
        self._deserialize: Deserialize = deserialize or bytes
        self._streams_responses = streams_responses


class _OneRequest(_Callable):
    def __call__(
        self,
        request: Any,
        *,
        timeout: float | None = None,
        metadata: Metadata = None,
        credentials: object = None,
        wait_for_ready: object = None,
        compression: object = None,
    ) -> InProcessCall:
        responses = Pipe() if self._streams_responses else None
        exchange = self._server.begin(self._path, timeout, metadata, request=self._serialize(request), responses=responses)
        return InProcessCall(exchange, self._serialize, self._deserialize)


class _ManyRequests(_Callable):
    def __call__(
        self,
        request_iterator: AsyncIterable[Any] | Iterable[Any] | None = None,
        timeout: float | None = None,
        metadata: Metadata = None,
        credentials: object = None,
        wait_for_ready: object = None,
        compression: object = None,
    ) -> InProcessCall:
        requests, responses = Pipe(), Pipe() if self._streams_responses else None
        exchange = self._server.begin(self._path, timeout, metadata, requests=requests, responses=responses)
        call = InProcessCall(exchange, self._serialize, self._deserialize)
        if request_iterator is not None:
            exchange.feed(_serialised(request_iterator, self._serialize), requests)
        return call


async def _serialised(requests: AsyncIterable[Any] | Iterable[Any], serialize: Serialize) -> AsyncIterator[bytes]:
    if isinstance(requests, AsyncIterable):
        async for request in requests:
            yield serialize(request)
    else:
        for request in requests:
            yield serialize(request)
