"""A mesh of three services in the real Envoy; one of them answers, and notes who asked."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc.aio
import httpx
import pytest
import yaml
from google.rpc import code_pb2

from gateway.methods import methods
from mesh.local.authority import Authority
from mesh.local.envoy import sidecars_of
from mesh.local.identities import PREFIX
from mesh.local.places import Places
from mesh.local.rules import write_rules
from services.kit.auth import Policy
from services.kit.rpc import calls
from services.kit.rpc.bundles import Bundles
from services.kit.rpc.client import ClientChannel, socket_channel
from services.kit.rpc.identity import certified_caller
from services.kit.rpc.pipeline import Rules
from services.kit.rpc.server import Registry, serve_on
from tests.contract.echo import Echo, pb, stubs
from tools.servers import Program, Running
from tools.servers.envoy import BINARY

ECHO = "bazaar.test.v1.EchoService"
SERVICES = ["test", "checkout", "ranking"]
"""`test` is the echo's, by its package."""

HTTP2_BEGINS = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""A client's preface with empty settings: what is answered at once."""

TLS_ALERT = b"\x15"
"""How an alert in the clear begins."""

GRANTED: dict[str, Any] = {
    f"{ECHO}/Echo": {"callers": ["edge", "checkout"], "roles": ["anyone"]},
    f"{ECHO}/Repeat": {"callers": ["checkout"]},
    f"{ECHO}/Collect": {"callers": ["process"]},
}


def policy(**changed: Any) -> Policy:
    """The table, with other entries for some methods."""
    own = {f"{ECHO}/{method}": entry for method, entry in changed.items()}
    return Policy({"identities": {name: {} for name in ("edge", "process", *SERVICES)}, "methods": {**GRANTED, **own}})


class Sidecars:
    """Envoy with the sidecars of all services, and no edge."""

    name, role, address = "envoy", "server", ""

    def __init__(self, places: Places, configuration: Path) -> None:
        self._places, self._configuration = places, configuration

    def prepare(self) -> None:
        """Its configuration is there."""

    def program(self) -> Program:
        return Program([str(BINARY), "-c", str(self._configuration), "--concurrency", "1", "--disable-hot-restart", "--log-level", "error"])

    def ready(self) -> bool:
        return all(is_open(path(service)) for service in self._places.services for path in (self._places.inbound, self._places.outbound))

    def answers(self) -> bool:
        return self.ready()


def is_open(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


@dataclass
class Mesh:
    """The mesh under test."""

    places: Places
    authority: Authority
    echo: Echo
    stack: AsyncExitStack
    callers: list[str] = field(default_factory=list)
    """Who the service believed its callers to be."""
    headers: list[dict[str, str]] = field(default_factory=list)
    """What came with each call."""
    server: Any = None

    async def open(self) -> None:
        """Starts the service's server."""
        rules = Rules(policy(Denied={"callers": ["ranking"]}), lambda session: False, certified_caller(PREFIX))
        registry = Registry(rules)
        registry.add("test", [(stubs.add_EchoServiceServicer_to_server, self.echo)])
        self.places.app("test").unlink(missing_ok=True)
        self.server = serve_on((Bundles(registry, rules.caller), registry), f"unix:{self.places.app('test')}")
        await self.server.start()

    async def stub(self, caller: str) -> Any:
        """The echo, as one of the services reaches it."""
        return stubs.EchoServiceStub(await self._channel(caller))

    async def client(self, caller: str) -> Any:
        """The same with all that a service's own clients add."""
        return stubs.EchoServiceStub(ClientChannel(await self._channel(caller), caller, "test", speaks_for_users=False, is_far=True))

    async def _channel(self, caller: str) -> Any:
        return await self.stack.enter_async_context(socket_channel(f"unix:{self.places.outbound(caller)}"))

    async def note(self, request: Any, context: Any) -> Any:
        self.callers.append(calls.current().caller)
        self.headers.append(dict(context.invocation_metadata()))
        return pb.EchoResponse(text=request.text)

    async def post(self, path: str, *, tls: ssl.SSLContext, headers: dict[str, str] | None = None) -> httpx.Response:
        """Calls the service's inbound listener without a sidecar of one's own."""
        transport = httpx.AsyncHTTPTransport(uds=str(self.places.inbound("test")), http1=False, http2=True, verify=tls)
        async with httpx.AsyncClient(transport=transport, timeout=5) as client:
            sent = {"content-type": "application/grpc", "te": "trailers", **(headers or {})}
            return await client.post(f"https://test/{path}", headers=sent, content=bytes(5))

    async def knock(self, tls: ssl.SSLContext | None = None) -> str:
        """Opens a connection to the inbound listener, in the clear without a context, and says how that ends: with an alert, or ""."""
        return await asyncio.to_thread(self._knock, tls)

    def _knock(self, tls: ssl.SSLContext | None) -> str:
        with socket.socket(socket.AF_UNIX) as plain:
            plain.settimeout(5)
            plain.connect(str(self.places.inbound("test")))
            try:
                door = tls.wrap_socket(plain) if tls else plain
                if not tls:
                    door.sendall(HTTP2_BEGINS)
                # In TLS 1.3 a client hears what its certificate is worth when it reads.
                return {b"": "closed", TLS_ALERT: "alert"}.get(door.recv(1), "")
            except ssl.SSLError as error:
                return error.reason or ""
            except ConnectionError:
                return "closed"

    async def certificate_shown(self, tls: ssl.SSLContext) -> bytes | None:
        """What the inbound listener shows a caller, as DER."""

        def look() -> bytes | None:
            with socket.socket(socket.AF_UNIX) as plain:
                plain.connect(str(self.places.inbound("test")))
                with tls.wrap_socket(plain) as door:
                    return door.getpeercert(binary_form=True)

        return await asyncio.to_thread(look)

    def tls(self, folder: Path, uri: str = "", authority: Authority | None = None) -> ssl.SSLContext:
        """A client's context, with a certificate of that name, or none."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(str(self.places.authority))
        context.set_alpn_protocols(["h2"])
        if uri:
            certificate, key = (authority or self.authority).issue(uri)
            (folder / "client.pem").write_text(certificate + key)
            context.load_cert_chain(folder / "client.pem")
        return context


@pytest.fixture
async def mesh(folder: Path) -> AsyncIterator[Mesh]:
    """Up and running."""
    async with starting(folder) as mesh:
        yield mesh


class starting:
    """A mesh in a folder; the module's figures count that hold when it begins."""

    def __init__(self, folder: Path, table: Policy | None = None) -> None:
        self._folder = folder
        self._table = table or policy()

    async def __aenter__(self) -> Mesh:
        places = Places(self._folder / "mesh", self._folder, SERVICES)
        places.prepare()
        authority = Authority.of(places)
        authority.renew(places, places.callers)
        write_rules(places, self._table)
        document = {
            "node": {"id": "mesh", "cluster": "bazaar"},
            "static_resources": sidecars_of(places, methods([pb.DESCRIPTOR], self._table)),
        }
        (self._folder / "envoy.yaml").write_text(yaml.safe_dump(document))
        self._stack = AsyncExitStack()
        mesh = Mesh(places, authority, Echo(), self._stack)
        mesh.echo.echo = mesh.echo.Denied = mesh.note
        await mesh.open()
        self._envoy = self._stack.enter_context(Running(Sidecars(places, self._folder / "envoy.yaml"), self._folder / "envoy.log"))
        self._mesh = mesh
        return mesh

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()
        await self._mesh.server.stop(0)


async def code_of(call: Any) -> str:
    """A call's status by name."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return "OK"


def status_in(answer: httpx.Response) -> str:
    """The status of a call that was refused without a body."""
    return code_pb2.Code.Name(int(answer.headers.get("grpc-status", 0)))


def request(text: str = "") -> Any:
    return pb.EchoRequest(text=text)
