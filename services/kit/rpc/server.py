"""The methods of a process, and the socket they are served on."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc
from grpc.aio import Server

from services.kit.errors import Status
from services.kit.rpc.admission import Cap
from services.kit.rpc.pipeline import Method, Rules
from services.kit.rpc.status import CODES, metadata_of, status_of
from services.kit.service import AddToServer

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
MAX_METADATA_BYTES = 64 * 1024
"""Room for a status whose details hold a quote of 100 lines."""

SOCKET_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_metadata_size", MAX_METADATA_BYTES),
    ("grpc.absolute_max_metadata_size", 2 * MAX_METADATA_BYTES),
    # Two processes that share a port silently would each get half of the calls.
    ("grpc.so_reuseport", 0),
)


class SocketTaken(Exception):
    """Another live process listens there."""


class Registry(grpc.GenericRpcHandler):
    """All methods that this process answers, each with its pipeline; what both transports look methods up in.

    Registered with grpc.aio as its one generic handler: grpc.aio waits on one future for every method that it knows by name, at a cost
    for each call that grows with their number.
    """

    def __init__(self, rules: Rules, *, max_calls: int = 1000, max_streams: int = 10_000) -> None:
        self._rules = rules
        self._max_calls = max_calls
        self._max_streams = max_streams
        self._handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
        self.service_names: list[str] = []
        """The gRPC services with a pipeline: `package.Service`."""

    def add(self, service: str, servicers: Sequence[tuple[AddToServer, object]]) -> None:
        """Adds the servicers of one noun; they share its caps."""
        calls, streams = Cap(service, self._max_calls), Cap(service, self._max_streams)
        for add_to_server, servicer in servicers:
            add_to_server(servicer, _Piped(self, service, calls, streams))

    def add_open(self, add_to_server: AddToServer, servicer: object) -> None:
        """Adds a servicer that anyone who reaches the socket may call (health, reflection)."""
        add_to_server(servicer, _Open(self._handlers))

    def find(self, path: str) -> grpc.RpcMethodHandler[Any, Any]:
        """The handler of `/package.Service/Method`; one that answers UNIMPLEMENTED when there is none."""
        return self._handlers.get(path) or _unknown(path)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any]:
        return self.find(handler_call_details.method)

    def register(self, name: str, handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]], service: str, calls: Cap, streams: Cap) -> None:
        """Puts the pipeline around the methods of one gRPC service."""
        self.service_names.append(name)
        for method, handler in handlers.items():
            path = f"/{name}/{method}"
            cap = streams if handler.response_streaming or handler.request_streaming else calls
            self._handlers[path] = Method(path, handler, service, self._rules, cap).handler


class _Piped:
    """What a generated add_…_to_server takes for a server."""

    def __init__(self, registry: Registry, service: str, calls: Cap, streams: Cap) -> None:
        self._registry = registry
        self._service = service
        self._calls = calls
        self._streams = streams

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        """Ignored: the same methods come by name."""

    def add_registered_method_handlers(self, name: str, handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]]) -> None:
        self._registry.register(name, handlers, self._service, self._calls, self._streams)


class _Open:
    def __init__(self, handlers: dict[str, grpc.RpcMethodHandler[Any, Any]]) -> None:
        self._handlers = handlers

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        """Ignored: the same methods come by name."""

    def add_registered_method_handlers(self, name: str, handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]]) -> None:
        self._handlers.update({f"/{name}/{method}": handler for method, handler in handlers.items()})


def _unknown(path: str) -> grpc.RpcMethodHandler[Any, Any]:
    async def refuse(requests: object, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        status = status_of(Status.UNIMPLEMENTED, "There is no such method.", "METHOD_NOT_FOUND", method=path)
        await context.abort(CODES[status.code], status.message, metadata_of(status))

    return grpc.stream_stream_rpc_method_handler(refuse)


def serve_on(handlers: Sequence[grpc.GenericRpcHandler], listen: str) -> Server:
    """A server for `unix:/path.sock` (made with mode 0600) or `host:port`, bound and not yet started.

    Args:
        handlers: asked in this order; the first that knows a call takes it.

    Raises:
        SocketTaken: somebody answers there already, or it cannot be bound.
    """
    server = grpc.aio.server(handlers=handlers, options=SOCKET_OPTIONS)
    if listen.startswith("unix:"):
        _bind_privately(server, Path(listen.removeprefix("unix:")))
    else:
        _bind(server, listen)
    return server


def _bind_privately(server: Server, path: Path) -> None:
    if _is_answered(path):
        raise SocketTaken(f"Another process serves on {path}.")
    path.unlink(missing_ok=True)
    previous = os.umask(0o177)
    try:
        _bind(server, f"unix:{path}")
    finally:
        os.umask(previous)


def _bind(server: Server, address: str) -> None:
    try:
        port = server.add_insecure_port(address)
    except RuntimeError:
        port = 0
    if not port:
        raise SocketTaken(f"{address} cannot be bound: it is in use, not allowed, or a path over 107 bytes.")


def _is_answered(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
