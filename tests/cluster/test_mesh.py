"""istiod programs real Envoys from the manifests: mutual TLS, who may call what, and a canary chosen by a header."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import grpc.aio
import pytest
import pytest_asyncio

from bazaar.orders.v1 import orders_service_pb2, orders_service_pb2_grpc
from bazaar.ranking.v1 import ranking_service_pb2, ranking_service_pb2_grpc
from tests.cluster.conftest import Cluster, chosen, must, with_components
from tools.cluster import NAMESPACE, PORT
from tools.cluster.istio import labels
from tools.cluster.rig.identities import Authority, serve
from tools.cluster.rig.proxy import Proxy
from tools.servers import Running

pytestmark = pytest.mark.timeout(600)

STABLE, CANARY, EDGE, PAYMENTS, STRANGER = (f"127.0.18.{number}" for number in range(1, 6))
"""Addresses of pods."""
INBOUND = 18_451
RULES = [
    ("PeerAuthentication", "strict"),
    ("AuthorizationPolicy", "nothing"),
    ("AuthorizationPolicy", "ranking"),
    ("VirtualService", "ranking"),
    ("DestinationRule", "ranking"),
]
"""What is tried of the manifests, as it is in them."""


class Ranking(ranking_service_pb2_grpc.RankingServiceServicer):
    def __init__(self, version: str) -> None:
        self._version = version

    async def QueryTopProducts(self, request, context):
        return ranking_service_pb2.QueryTopProductsResponse(products=[{"rank": 1, "product_id": self._version}])


@dataclass
class Mesh:
    """A way in for each caller: the port of its proxy where its application would dial."""

    def channel(self, host: str, port: int = PORT) -> grpc.aio.Channel:
        return grpc.aio.insecure_channel(
            f"{host}:{port}", options=[("grpc.default_authority", f"ranking:{PORT}"), ("grpc.enable_retries", 0)]
        )

    async def top(self, host: str, port: int = PORT, **headers: str) -> str:
        """Whose Top 10 a caller gets; the status's name where it gets none."""
        metadata = [(name.replace("_", "-"), value) for name, value in headers.items()]
        async with self.channel(host, port) as channel:
            stub = ranking_service_pb2_grpc.RankingServiceStub(channel)
            try:
                answer = await stub.QueryTopProducts(
                    ranking_service_pb2.QueryTopProductsRequest(category="tv"), timeout=5, metadata=metadata
                )
            except grpc.aio.AioRpcError as error:
                return error.code().name
        return answer.products[0].product_id


def service_entry():
    """Stands for the Service and its pods, whose addresses a Kubernetes API doesn't let lie on this machine."""
    endpoints = [
        {
            "address": address,
            "ports": {"grpc": INBOUND},
            "labels": {**labels("ranking"), "version": version, "security.istio.io/tlsMode": "istio"},
            "serviceAccount": "ranking",
        }
        for address, version in ((STABLE, "stable"), (CANARY, "canary"))
    ]
    spec = {
        "hosts": [f"ranking.{NAMESPACE}.svc.cluster.local"],
        "location": "MESH_INTERNAL",
        "resolution": "STATIC",
        "ports": [{"number": PORT, "name": "grpc", "protocol": "GRPC"}],
        "endpoints": endpoints,
    }
    return {"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "metadata": named("ranking"), "spec": spec}


def dialled(name, address):
    """Has a caller's proxy listen where its application dials, since nothing redirects it."""
    egress = {"port": {"number": PORT, "protocol": "GRPC", "name": "grpc"}, "bind": address, "captureMode": "NONE", "hosts": ["./*"]}
    return sidecar(name, {"workloadSelector": {"labels": labels(name)}, "egress": [egress]})


def answering(version, address, application):
    port = {"number": INBOUND, "protocol": "GRPC", "name": "grpc"}
    ingress = {"port": port, "bind": address, "captureMode": "NONE", "defaultEndpoint": f"127.0.0.1:{application}"}
    return sidecar(f"ranking-{version}", {"workloadSelector": {"labels": {**labels("ranking"), "version": version}}, "ingress": [ingress]})


def sidecar(name, spec):
    return {"apiVersion": "networking.istio.io/v1", "kind": "Sidecar", "metadata": named(name), "spec": spec}


def named(name):
    return {"name": name, "namespace": NAMESPACE}


async def application(version):
    server = grpc.aio.server()
    ranking_service_pb2_grpc.add_RankingServiceServicer_to_server(Ranking(version), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, port


@pytest_asyncio.fixture(scope="module")
async def mesh(cluster: Cluster, tmp_path_factory):
    applications = {version: await application(version) for version in ("stable", "canary")}
    documents = chosen(with_components(tmp_path_factory.mktemp("overlay"), "dev", "canary"), *RULES)
    documents += [service_entry(), dialled("edge", EDGE), dialled("payments", PAYMENTS), dialled("stranger", STRANGER)]
    documents += [answering(version, address, applications[version][1]) for version, address in (("stable", STABLE), ("canary", CANARY))]
    must(cluster.kubectl("apply", "-f", "-", given=documents))
    ours, another = Authority(), Authority()
    versions = {version: {**labels("ranking"), "version": version} for version in ("stable", "canary")}
    place = (cluster.folder, cluster.istiod)
    pods = [
        (Proxy("ranking-stable", "ranking", versions["stable"], STABLE, INBOUND, *place), ours),
        (Proxy("ranking-canary", "ranking", versions["canary"], CANARY, INBOUND, *place), ours),
        (Proxy("edge-0", "edge", labels("edge"), EDGE, PORT, *place), ours),
        (Proxy("payments-0", "payments", labels("payments"), PAYMENTS, PORT, *place), ours),
        # Says that it is the edge, by a certificate of somebody else's.
        (Proxy("stranger-0", "edge", labels("stranger"), STRANGER, PORT, *place), another),
    ]
    servers = [await serve(authority.identity(proxy.account), proxy.secrets) for proxy, authority in pods]
    running = [Running(proxy, cluster.folder / f"{proxy.name}.log", timeout=60) for proxy, _ in pods]
    for each in running:
        each.start()
    for each in running:
        await asyncio.to_thread(each.wait)
    mesh, give_up = Mesh(), time.monotonic() + 30
    while await mesh.top(EDGE, x_bazaar_caller="edge") not in ("stable", "canary") and time.monotonic() < give_up:
        await asyncio.sleep(0.2)
    yield mesh
    for each in running:
        each.stop()
    for server in (*servers, *(server for server, _ in applications.values())):
        await server.stop(0)


async def test_a_caller_that_the_policy_names_is_answered(mesh):
    assert await mesh.top(EDGE, x_bazaar_caller="edge") in ("stable", "canary")


async def test_one_that_it_does_not_name_is_denied(mesh):
    assert await mesh.top(PAYMENTS, x_bazaar_caller="payments") == "PERMISSION_DENIED"


async def test_nobody_may_say_another_ones_name(mesh):
    assert await mesh.top(PAYMENTS, x_bazaar_caller="edge") == "PERMISSION_DENIED"
    assert await mesh.top(EDGE, x_bazaar_caller="orders") == "PERMISSION_DENIED"


async def test_a_method_that_the_policy_does_not_open_is_denied(mesh):
    async with mesh.channel(EDGE) as channel:
        stub = orders_service_pb2_grpc.OrdersServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.OpenOrder(orders_service_pb2.OpenOrderRequest(), timeout=5, metadata=[("x-bazaar-caller", "edge")])

    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_without_tls_nobody_is_heard(mesh):
    assert await mesh.top(STABLE, INBOUND, x_bazaar_caller="edge") == "UNAVAILABLE"


async def test_another_authoritys_certificate_is_none(mesh):
    assert await mesh.top(STRANGER, x_bazaar_caller="edge") == "UNAVAILABLE"


async def test_who_asks_for_the_canary_gets_it(mesh):
    assert [await mesh.top(EDGE, x_bazaar_caller="edge", x_canary="true") for _ in range(20)] == ["canary"] * 20


async def test_others_get_it_one_time_in_twenty(mesh):
    answers = [await mesh.top(EDGE, x_bazaar_caller="edge") for _ in range(200)]

    assert set(answers) <= {"stable", "canary"}
    assert answers.count("stable") > 150
