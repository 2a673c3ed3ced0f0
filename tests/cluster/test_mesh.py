"""istiod programs real Envoys from the manifests: mutual TLS, who may call what, what is tried again, a canary chosen by a header."""

from __future__ import annotations

import grpc.aio
import pytest
import pytest_asyncio

from bazaar.orders.v1 import orders_service_pb2, orders_service_pb2_grpc
from bazaar.ranking.v1 import ranking_service_pb2, ranking_service_pb2_grpc
from tests.cluster.conftest import OVERLAYS, Cluster, chosen, must
from tests.cluster.rankings import (
    CANARY,
    EDGE,
    INBOUND,
    OUT_OF_ORDER,
    PAYMENTS,
    STABLE,
    STRANGER,
    VERSIONS,
    channel,
    settled,
    started,
    top,
)
from tests.kustomize import rendered

pytestmark = [pytest.mark.timeout(600), pytest.mark.usefixtures("mesh")]

AS_THE_EDGE = {"x_bazaar_caller": "edge"}


@pytest_asyncio.fixture(scope="module")
async def mesh(cluster: Cluster, tmp_path_factory):
    async with started(cluster, tmp_path_factory.mktemp("overlay")) as mesh:
        yield mesh


async def test_a_caller_that_the_policy_names_is_answered():
    assert await top(EDGE, **AS_THE_EDGE) in VERSIONS


async def test_one_that_it_does_not_name_is_denied():
    assert await top(PAYMENTS, x_bazaar_caller="payments") == "PERMISSION_DENIED"


async def test_nobody_may_say_another_ones_name():
    assert await top(PAYMENTS, **AS_THE_EDGE) == "PERMISSION_DENIED"
    assert await top(EDGE, x_bazaar_caller="orders") == "PERMISSION_DENIED"


async def test_a_method_that_the_policy_does_not_open_is_denied():
    async with channel(EDGE) as connected:
        stub = orders_service_pb2_grpc.OrdersServiceStub(connected)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.OpenOrder(orders_service_pb2.OpenOrderRequest(), timeout=5, metadata=[("x-bazaar-caller", "edge")])

    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize(("pod", "address"), [("ranking-stable", STABLE), ("ranking-canary", CANARY)])
async def test_without_tls_nobody_is_heard(mesh, pod, address):
    assert await top(address, INBOUND, **AS_THE_EDGE) == "UNAVAILABLE"
    assert mesh.counted(pod, r"no_filter_chain_match$") > 0


async def test_another_authoritys_certificate_is_none(mesh):
    assert await top(STRANGER, **AS_THE_EDGE) == "UNAVAILABLE"
    assert sum(mesh.counted(f"ranking-{version}", r"ssl\.fail_verify_error$") for version in VERSIONS) > 0


async def test_a_read_that_fails_is_tried_once_more(mesh):
    mesh.failed.clear()

    assert await top(EDGE, category=OUT_OF_ORDER, **AS_THE_EDGE) == "UNAVAILABLE"
    assert mesh.failed == ["QueryTopProducts"] * 2


async def test_what_must_not_be_done_twice_is_tried_once(mesh):
    mesh.failed.clear()
    async with channel(EDGE) as connected:
        stub = ranking_service_pb2_grpc.RankingServiceStub(connected)
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.RebuildRanking(ranking_service_pb2.RebuildRankingRequest(), timeout=5, metadata=[("x-bazaar-caller", "edge")])

    assert mesh.failed == ["RebuildRanking"]


async def test_who_asks_for_the_canary_gets_it():
    assert [await top(EDGE, **AS_THE_EDGE, x_canary="true") for _ in range(20)] == ["canary"] * 20


async def test_others_get_it_one_time_in_twenty():
    answers = [await top(EDGE, **AS_THE_EDGE) for _ in range(200)]

    assert {*answers} == {"stable", "canary"}
    assert answers.count("canary") < 30


async def test_a_service_without_a_policy_is_closed_as_soon_as_it_is_gone(cluster):
    own = chosen(rendered(OVERLAYS / "dev"), ("AuthorizationPolicy", "ranking"))
    must(cluster.kubectl("delete", "-f", "-", given=own))
    try:
        assert await settled("PERMISSION_DENIED") == "PERMISSION_DENIED"
    finally:
        must(cluster.kubectl("apply", "-f", "-", given=own))
    assert await settled(*VERSIONS) in VERSIONS
