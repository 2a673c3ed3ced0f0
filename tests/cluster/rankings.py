"""Rankings in a mesh that istiod programs: two versions, who calls them, and one whose certificate is of another authority."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import grpc.aio
import httpx

from bazaar.ranking.v1 import ranking_service_pb2, ranking_service_pb2_grpc
from tests.cluster.conftest import Cluster, chosen, must, with_components
from tools.cluster import NAMESPACE, PORT
from tools.cluster.istio import Document, document, labels
from tools.cluster.rig.identities import Authority, Identity, serve
from tools.cluster.rig.proxy import Proxy
from tools.servers import Running

STABLE, CANARY, EDGE, PAYMENTS, STRANGER = (f"127.0.18.{number}" for number in range(1, 6))
"""Addresses of pods."""
INBOUND = 18_451
"""Where the pods of rankings are called, in place of the port to which a node would redirect."""
OUT_OF_ORDER = "out-of-order"
"""A category that no Top 10 can be had of."""
VERSIONS = {"stable": STABLE, "canary": CANARY}
RULES = [
    ("PeerAuthentication", "strict"),
    ("AuthorizationPolicy", "nothing"),
    ("AuthorizationPolicy", "ranking"),
    ("VirtualService", "ranking"),
    ("DestinationRule", "ranking"),
]
"""What is tried of the manifests, as it is in them."""


class Ranking(ranking_service_pb2_grpc.RankingServiceServicer):
    """Stands in each pod for the service: says which version it is, and remembers what it could not do."""

    def __init__(self, version: str, failed: list[str]) -> None:
        self._version, self._failed = version, failed

    async def QueryTopProducts(self, request: Any, context: grpc.aio.ServicerContext) -> ranking_service_pb2.QueryTopProductsResponse:
        if request.category == OUT_OF_ORDER:
            await self._fail("QueryTopProducts", context)
        return ranking_service_pb2.QueryTopProductsResponse(products=[{"rank": 1, "product_id": self._version}])

    async def RebuildRanking(self, request: Any, context: grpc.aio.ServicerContext) -> None:
        await self._fail("RebuildRanking", context)

    async def _fail(self, method: str, context: grpc.aio.ServicerContext) -> None:
        self._failed.append(method)
        await context.abort(grpc.StatusCode.UNAVAILABLE, "out of order")


class Mesh(NamedTuple):
    """What there is to see of the pods from outside."""

    pods: dict[str, Proxy]
    failed: list[str]
    """The methods that rankings could not do, by call."""

    def counted(self, pod: str, what: str) -> int:
        """Adds up what a pod's proxy has counted; `what` is a regular expression."""
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(self.pods[pod].admin))) as admin:
            lines = admin.get("http://proxy/stats", params={"filter": what}).text.splitlines()
        return sum(int(line.rpartition(" ")[2]) for line in lines)


@asynccontextmanager
async def started(cluster: Cluster, folder: Path) -> AsyncIterator[Mesh]:
    """Runs the pods."""
    mesh = Mesh({}, [])
    async with AsyncExitStack() as running:
        ports = {version: await _application(Ranking(version, mesh.failed), running) for version in VERSIONS}
        must(cluster.kubectl("apply", "-f", "-", given=_objects(folder, ports)))
        for proxy, identity in _pods(cluster):
            server = await serve(identity, proxy.secrets)
            running.push_async_callback(server.stop, 0)
            pod = Running(proxy, cluster.folder / f"{proxy.name}.log", timeout=60)
            pod.start()
            running.callback(pod.stop)
            await asyncio.to_thread(pod.wait)
            mesh.pods[proxy.name] = proxy
        await settled(*VERSIONS)
        yield mesh


async def _application(servicer: Ranking, running: AsyncExitStack) -> int:
    server = grpc.aio.server()
    ranking_service_pb2_grpc.add_RankingServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    running.push_async_callback(server.stop, 0)
    return port


def _objects(folder: Path, ports: dict[str, int]) -> list[Document]:
    rules = chosen(with_components(folder, "dev", "canary"), *RULES)
    callers = [_dialled(name, address) for name, address in (("edge", EDGE), ("payments", PAYMENTS), ("stranger", STRANGER))]
    return [*rules, _service_entry(), *callers, *(_answering(version, address, ports[version]) for version, address in VERSIONS.items())]


def _pods(cluster: Cluster) -> list[tuple[Proxy, Identity]]:
    place, ours = (cluster.folder, cluster.istiod), Authority()
    known = [
        Proxy("ranking-stable", "ranking", _of_version("stable"), STABLE, INBOUND, *place),
        Proxy("ranking-canary", "ranking", _of_version("canary"), CANARY, INBOUND, *place),
        Proxy("edge-0", "edge", labels("edge"), EDGE, PORT, *place),
        Proxy("payments-0", "payments", labels("payments"), PAYMENTS, PORT, *place),
    ]
    stranger = Proxy("stranger-0", "edge", labels("stranger"), STRANGER, PORT, *place)
    # It believes whom all believe, so that it is for the other side to refuse: it says that it is the edge, and another authority says so.
    forged = Authority().identity("edge")._replace(authority=ours.certificate)
    return [*((proxy, ours.identity(proxy.account)) for proxy in known), (stranger, forged)]


def _of_version(version: str) -> dict[str, str]:
    return {**labels("ranking"), "version": version}


def _service_entry() -> Document:
    """Stands for the Service and its pods, whose addresses a Kubernetes API doesn't let lie on this machine."""
    endpoints = [
        {
            "address": address,
            "ports": {"grpc": INBOUND},
            "labels": {**_of_version(version), "security.istio.io/tlsMode": "istio"},
            "serviceAccount": "ranking",
        }
        for version, address in VERSIONS.items()
    ]
    spec = {
        "hosts": [f"ranking.{NAMESPACE}.svc.cluster.local"],
        "location": "MESH_INTERNAL",
        "resolution": "STATIC",
        "ports": [{"number": PORT, "name": "grpc", "protocol": "GRPC"}],
        "endpoints": endpoints,
    }
    return document("networking.istio.io/v1", "ServiceEntry", "ranking", spec)


def _dialled(name: str, address: str) -> Document:
    """Has a caller's proxy listen where its application dials, since nothing redirects it."""
    egress = {"port": {"number": PORT, "protocol": "GRPC", "name": "grpc"}, "bind": address, "captureMode": "NONE", "hosts": ["./*"]}
    return _sidecar(name, {"workloadSelector": {"labels": labels(name)}, "egress": [egress]})


def _answering(version: str, address: str, application: int) -> Document:
    port = {"number": INBOUND, "protocol": "GRPC", "name": "grpc"}
    ingress = {"port": port, "bind": address, "captureMode": "NONE", "defaultEndpoint": f"127.0.0.1:{application}"}
    return _sidecar(f"ranking-{version}", {"workloadSelector": {"labels": _of_version(version)}, "ingress": [ingress]})


def _sidecar(name: str, spec: Document) -> Document:
    return document("networking.istio.io/v1", "Sidecar", name, spec)


def channel(host: str, port: int = PORT) -> grpc.aio.Channel:
    """To where a pod's application dials, or straight to a pod."""
    options = [("grpc.default_authority", f"ranking:{PORT}"), ("grpc.enable_retries", 0)]
    return grpc.aio.insecure_channel(f"{host}:{port}", options=options)


async def top(host: str, port: int = PORT, category: str = "tv", **headers: str) -> str:
    """Whose Top 10 a caller gets; the status's name where it gets none."""
    request = ranking_service_pb2.QueryTopProductsRequest(category=category)
    metadata = [(name.replace("_", "-"), value) for name, value in headers.items()]
    async with channel(host, port) as connected:
        stub = ranking_service_pb2_grpc.RankingServiceStub(connected)
        try:
            answer = await stub.QueryTopProducts(request, timeout=5, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            return error.code().name
    return answer.products[0].product_id


async def settled(*wanted: str) -> str:
    """What the edge is answered: one of these as soon as all proxies know what istiod does, another if that never comes."""
    give_up = time.monotonic() + 30
    while (answer := await top(EDGE, x_bazaar_caller="edge")) not in wanted and time.monotonic() < give_up:
        await asyncio.sleep(0.2)
    return answer
