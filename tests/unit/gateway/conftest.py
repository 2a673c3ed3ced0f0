"""A real Envoy with the real configuration, in front of a gRPC server that notes what reaches it."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc.aio
import httpx
import pytest
import pytest_asyncio
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health
from grpc_status import rpc_status
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from redis.asyncio import RedisCluster

from bazaar.catalog.v1 import catalog_service_pb2, catalog_service_pb2_grpc
from bazaar.orders.v1 import orders_service_pb2, orders_service_pb2_grpc
from bazaar.ranking.v1 import ranking_service_pb2, ranking_service_pb2_grpc
from gateway.__main__ import main as write_configuration
from services.kit.limits.edge import RateLimitService, add_rate_limits_to_server
from services.kit.redis import open_redis
from services.kit.rpc.headers import caching
from services.kit.rpc.shedding import SHED_METADATA, Shed
from services.kit.rpc.status import metadata_of, to_status
from tools import certificates, secrets
from tools.servers import Running, free_port
from tools.servers.envoy import Envoy
from tools.servers.redis import Redis

GOOD_FOR_SECONDS = 4
LONG = "p" * 5000
LARGE_COUNT = 40
"""Of products in a large ranking: 200 kB."""


@dataclass
class Backend:
    """What the services behind the edge were called with."""

    metadata: dict[str, str] = field(default_factory=dict)
    calls: int = 0
    remaining: float | None = None
    shown: str = ""
    """The product at the top of every ranking; the category's own when empty."""
    redis: Running | None = None
    """What the edges' shared limits are counted in."""
    let_go: asyncio.Event = field(default_factory=asyncio.Event)
    """Cleared, writes and rankings that are kept wait for it."""
    is_away: bool = False
    """Rankings are refused."""
    shed_from: int = 0
    """Set, it refuses what isn't of priority 1, and says from which priority on."""
    sampled: dict[str, str] = field(default_factory=dict)
    """What the edge's spans said of `bazaar.sampled`, by trace id."""

    def __post_init__(self) -> None:
        self.let_go.set()

    def note(self, context: grpc.aio.ServicerContext) -> None:
        self.calls += 1
        self.metadata = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
        self.remaining = context.time_remaining()


class Ranking(ranking_service_pb2_grpc.RankingServiceServicer):
    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def QueryTopProducts(self, request, context):
        self._backend.note(context)
        context.set_trailing_metadata((("x-bazaar-sampled", "0"),))
        if self._backend.is_away:
            await context.abort(grpc.StatusCode.UNAVAILABLE)
        product = {"rank": 1, "product_id": self._backend.shown or request.category, "orders": 2}
        is_large = request.category.startswith("cached-large")
        large = [{"rank": 2, "product_id": LONG, "orders": 1}] * (request.limit or LARGE_COUNT)
        top = ranking_service_pb2.QueryTopProductsResponse(products=[product, *(large if is_large else ())])
        if request.category.startswith("cached"):
            await self._backend.let_go.wait()
            await context.send_initial_metadata(
                caching(top.DESCRIPTOR, GOOD_FOR_SECONDS)(request, top, "x-bazaar-user" in self._backend.metadata)
            )
        return top

    async def WatchTopProducts(self, request, context):
        self._backend.note(context)
        products = [{"rank": rank, "product_id": f"{LONG}{rank}", "orders": 1} for rank in range(request.limit)]
        yield ranking_service_pb2.WatchTopProductsResponse(products=products, event_id="first")
        yield ranking_service_pb2.WatchTopProductsResponse(is_last=True)


class Orders(orders_service_pb2_grpc.OrdersServiceServicer):
    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def GetOrder(self, request, context):
        self._backend.note(context)
        info = error_details_pb2.ErrorInfo(reason="ORDER_NOT_FOUND", domain="bazaar.dev", metadata={"order_id": request.order_id})
        detail = any_pb2.Any()
        detail.Pack(info)
        status = status_pb2.Status(code=code_pb2.NOT_FOUND, message="No such order.", details=[detail])
        refusal = rpc_status.to_status(status)
        await context.abort(refusal.code, refusal.details, (*refusal.trailing_metadata, ("x-bazaar-sampled", "1")))

    async def CancelOrder(self, request, context):
        self._backend.note(context)
        return orders_service_pb2.CancelOrderResponse()


class Catalog(catalog_service_pb2_grpc.CatalogServiceServicer):
    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def ImportProducts(self, request, context):
        self._backend.note(context)
        await self._backend.let_go.wait()
        await refuse_under_pressure(self._backend, context)
        return catalog_service_pb2.ImportProductsResponse()

    async def CreateProduct(self, request, context):
        self._backend.note(context)
        await self._backend.let_go.wait()
        await refuse_under_pressure(self._backend, context)
        await context.send_initial_metadata((("location", "/v1/products/p1"),))
        return catalog_service_pb2.CreateProductResponse()


async def refuse_under_pressure(backend: Backend, context: grpc.aio.ServicerContext) -> None:
    if backend.shed_from:
        status = to_status(Shed(backend.shed_from))
        await context.abort(grpc.StatusCode.UNAVAILABLE, status.message, (*metadata_of(status), (SHED_METADATA, str(backend.shed_from))))


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def Export(self, request, context):
        for span in (span for group in request.resource_spans for scope in group.scope_spans for span in scope.spans):
            tags = {pair.key: pair.value.string_value for pair in span.attributes}
            self._backend.sampled[span.trace_id.hex()] = tags.get("bazaar.sampled", "")
        return trace_service_pb2.ExportTraceServiceResponse()


@pytest.fixture(scope="session")
def edge_home(short_directory: Path) -> Path:
    home = short_directory / "edge"
    for name in ("envoy", "logs", "secrets"):
        (home / name).mkdir(parents=True)
    secrets.make_missing(home / "secrets")
    renew_certificate(home / "own")
    return home


def renew_certificate(folder: Path) -> ssl.SSLContext:
    """Puts another certificate in the place of the edge's; returns who trusts that one alone."""
    files = certificates.Files("ca.pem", "certificate.pem", "key.pem")
    fresh = folder.with_name(f"own-{uuid.uuid4().hex}")
    fresh.mkdir()
    certificates.make_missing(fresh, files, "test", [certificates.SERVES])
    folder.mkdir(exist_ok=True)
    for name in (files.key, files.authority, files.certificate):
        (fresh / name).replace(folder / name)
    return ssl.create_default_context(cafile=folder / files.authority)


@pytest_asyncio.fixture(scope="session")
async def running_backend(edge_home: Path) -> AsyncIterator[Backend]:
    server_of_limits = Redis(edge_home / "redis", "test-password")
    with Running(server_of_limits, edge_home / "redis.log") as running:
        async with serving_backend(edge_home, open_redis(server_of_limits.url)) as backend:
            backend.redis = running
            yield backend


@asynccontextmanager
async def serving_backend(edge_home: Path, redis: RedisCluster) -> AsyncIterator[Backend]:
    backend = Backend()
    server = grpc.aio.server()
    ranking_service_pb2_grpc.add_RankingServiceServicer_to_server(Ranking(backend), server)
    orders_service_pb2_grpc.add_OrdersServiceServicer_to_server(Orders(backend), server)
    catalog_service_pb2_grpc.add_CatalogServiceServicer_to_server(Catalog(backend), server)
    add_rate_limits_to_server(RateLimitService(redis), server)
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Collector(backend), server)
    servicer = health.HealthServicer()
    await servicer.set("", health_pb2.HealthCheckResponse.ServingStatus.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    server.add_insecure_port(f"unix:{edge_home}/worker-1.sock")
    await server.start()
    yield backend
    await server.stop(0)
    await redis.aclose()


@asynccontextmanager
async def running_edge(home: Path, socket: Path, **settings: str) -> AsyncIterator[Envoy]:
    """An Envoy in front of whoever serves on the socket.

    Args:
        home: where its configuration goes; with secrets.
        settings: environment variables.
    """
    port, tls_port = free_port(), free_port()
    with pytest.MonkeyPatch.context() as environment:
        for name, value in settings.items():
            environment.setenv(name, value)
        write_configuration([str(home), str(port), str(tls_port), str(socket)])
    # Where its administration listens is told by the workers' folder, which edges share here.
    file = home / "envoy" / "envoy.yaml"
    file.write_text(file.read_text().replace(f"{socket.parent}/envoy.sock", f"{home}/envoy.sock"))
    envoy = Envoy(file, port, tls_port)
    running = Running(envoy, home / "logs" / "envoy.log")
    # The backend answers Envoy's health check on this loop, so the wait must not block it.
    running.start()
    try:
        await asyncio.to_thread(running.wait)
        yield envoy
    finally:
        running.stop()


@pytest_asyncio.fixture(scope="session")
async def edge(running_backend: Backend, edge_home: Path) -> AsyncIterator[Envoy]:
    own = edge_home / "own"
    settings = {
        "BAZAAR_EDGE_CERTIFICATE": str(own / "certificate.pem"),
        "BAZAAR_EDGE_CERTIFICATE_KEY": str(own / "key.pem"),
        "BAZAAR_CORS_ORIGINS": "https://shop.example, https://other.example",
    }
    async with running_edge(edge_home, edge_home / "worker-1.sock", **settings) as envoy:
        yield envoy


@pytest_asyncio.fixture
async def client(edge: Envoy) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=edge.url, trust_env=False) as client:
        yield client


@pytest.fixture
def backend(running_backend: Backend) -> Backend:
    running_backend.calls = 0
    running_backend.metadata = {}
    running_backend.shown = ""
    running_backend.is_away = False
    running_backend.shed_from = 0
    running_backend.let_go.set()
    return running_backend


class Tokens:
    """Makes access tokens as the users service does, and some that it would never make."""

    def __init__(self, keys: KeySet) -> None:
        self._key = keys.keys[0]

    def make(self, *, lifetime: int = 600, key: ECKey | None = None, **claims: object) -> dict[str, str]:
        """The header of a customer's request; `lifetime` in seconds."""
        key = key or self._key
        payload = {
            "iss": "https://bazaar.dev",
            "aud": "bazaar",
            "sub": "u-1",
            "roles": ["customer"],
            "sid": "s-1",
            "exp": int(time.time()) + lifetime,
        }
        token = jwt.encode({"alg": "ES256", "kid": key.kid}, {**payload, **claims}, key)
        return {"authorization": f"Bearer {token}"}


@pytest.fixture(scope="session")
def tokens(edge_home: Path) -> Tokens:
    return Tokens(KeySet.import_key_set(json.loads((edge_home / "secrets" / "jwt.json").read_text())))
