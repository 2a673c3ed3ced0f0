"""A service for the channel suite, served over a socket and inside the process."""

from __future__ import annotations

import contextvars
import importlib
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import google.api
import grpc
import grpc_tools
import pytest
from grpc_tools import protoc

from services.kit.auth import Policy
from services.kit.rpc.bundles import Bundles
from services.kit.rpc.client import ClientChannel, socket_channel
from services.kit.rpc.inprocess import InProcessServer
from services.kit.rpc.pipeline import Rules
from services.kit.rpc.server import Registry, serve_on

GOOGLEAPIS = Path(next(iter(google.api.__path__))).parents[1]
WELL_KNOWN = Path(grpc_tools.__file__).parent / "_proto"
_METHOD = "bazaar.test.v1.EchoService"
_COMPANION = "a companion"


def _compiled() -> tuple[Any, Any]:
    with tempfile.TemporaryDirectory() as folder:
        here = str(Path(__file__).parent)
        assert (
            protoc.main(
                [
                    "protoc",
                    f"-I{here}",
                    f"-I{GOOGLEAPIS}",
                    f"-I{WELL_KNOWN}",
                    f"--python_out={folder}",
                    f"--grpc_python_out={folder}",
                    f"{here}/echo.proto",
                ]
            )
            == 0
        )
        sys.path.insert(0, folder)
        try:
            return importlib.import_module("echo_pb2"), importlib.import_module("echo_pb2_grpc")
        finally:
            sys.path.remove(folder)


pb, stubs = _compiled()

POLICY = Policy(
    {
        "identities": {"edge": {"on_behalf_of_user": True}, "checkout": {"on_behalf_of_user": True}, "ranking": {}},
        "methods": {
            f"{_METHOD}/Echo": {"callers": ["edge", "checkout", "ranking"], "roles": ["anyone"]},
            f"{_METHOD}/Collect": {"callers": ["edge"], "roles": ["anyone"]},
            f"{_METHOD}/Repeat": {"callers": ["edge"], "roles": ["anyone"]},
            f"{_METHOD}/Chat": {"callers": ["edge"], "roles": ["anyone"]},
            f"{_METHOD}/Watch": {"callers": ["edge"], "roles": ["anyone"]},
        },
    }
)


class Echo(stubs.EchoServiceServicer):
    """Answers with what a test puts in its place; otherwise with what it was asked."""

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.echo: Any = None
        self.collect: Any = None
        self.repeat: Any = None
        self.chat: Any = None
        self.watch: Any = None

    async def Echo(self, request: Any, context: Any) -> Any:
        if request.text == _COMPANION:
            return pb.EchoResponse()
        self.requests.append(request)
        if self.echo:
            return await self.echo(request, context)
        return pb.EchoResponse(text=request.text, payload=request.payload)

    async def Collect(self, request_iterator: Any, context: Any) -> Any:
        if self.collect:
            return await self.collect(request_iterator, context)
        return pb.EchoResponse(text="".join([request.text async for request in request_iterator]))

    async def Repeat(self, request: Any, context: Any) -> AsyncIterator[Any]:
        if self.repeat:
            async for response in self.repeat(request, context):
                yield response
        else:
            for number in range(request.count):
                yield pb.EchoResponse(text=f"{request.text}{number}", payload=request.payload)

    async def Chat(self, request_iterator: Any, context: Any) -> AsyncIterator[Any]:
        if self.chat:
            async for response in self.chat(request_iterator, context):
                yield response
        else:
            async for request in request_iterator:
                yield pb.EchoResponse(text=request.text)

    async def Watch(self, request: Any, context: Any) -> AsyncIterator[Any]:
        async for response in self.watch(request, context):
            yield response


@dataclass
class Served:
    """A transport with the echo service behind it."""

    service: Echo
    registry: Registry
    bundles: Bundles
    inner: grpc.aio.Channel
    stopping: Any
    revoked: set[str] = field(default_factory=set)
    is_bundled: bool = False

    def stub(self, caller: str = "edge", *, is_far: bool = False) -> Any:
        """A client; where calls are bundled, each of Echo goes out with another one."""
        speaks = POLICY.speaks_for_users(caller)
        is_far = is_far or self.is_bundled
        stub = stubs.EchoServiceStub(ClientChannel(self.inner, caller, "echo", speaks_for_users=speaks, is_far=is_far))
        if self.is_bundled:
            stub.Echo = _accompanied(stub.Echo)
        return stub

    async def stop(self, grace: float) -> None:
        await self.stopping(grace)


def _accompanied(echo: Any) -> Any:
    def call(*arguments: Any, **options: Any) -> Any:
        contextvars.Context().run(echo, pb.EchoRequest(text=_COMPANION))
        return echo(*arguments, **options)

    return call


@asynccontextmanager
async def served(transport: str, folder: Path, **limits: int) -> AsyncIterator[Served]:
    """Serves over a `socket`, calls alone or each `bundled` with another, or `in-process`."""
    revoked: set[str] = set()
    rules = Rules(POLICY, revoked.__contains__)
    registry = Registry(rules, **limits)
    service = Echo()
    registry.add("echo", [(stubs.add_EchoServiceServicer_to_server, service)])
    bundles = Bundles(registry, rules.caller)
    async with AsyncExitStack() as stack:
        if transport != "in-process":
            server = serve_on((bundles, registry), f"unix:{folder}/echo.sock")
            await server.start()
            stack.push_async_callback(server.stop, 0)
            channel = await stack.enter_async_context(socket_channel(f"unix:{folder}/echo.sock"))
            yield Served(service, registry, bundles, channel, server.stop, revoked, is_bundled=transport == "bundled")
        else:
            inside = InProcessServer(registry)
            stack.push_async_callback(inside.stop, 0)
            yield Served(service, registry, bundles, inside.channel(), inside.stop, revoked)


async def failure(call: Any) -> grpc.aio.AioRpcError:
    """The error that a call ends with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value
