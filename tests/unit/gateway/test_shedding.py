import grpc
import httpx
import pytest
import pytest_asyncio

from bazaar.catalog.v1 import catalog_service_pb2, catalog_service_pb2_grpc
from gateway.settings import EdgeSettings
from gateway.shedding import SENTENCE, write_level
from tests.shop import eventually
from tests.unit.gateway.conftest import running_edge
from tests.unit.gateway.limited import counters, home_like

FIRST, SECOND, THIRD = "/v1/queryTopProducts?category=tv", "/v1/products", "/v1/products:import"
"""Of each priority; the second and the third take a POST."""


@pytest_asyncio.fixture(scope="module")
async def home(edge_home):
    return home_like(edge_home, "shedding")


@pytest_asyncio.fixture(scope="module")
async def shedding_edge(running_backend, edge_home, home):
    """An edge that starts with priority 3 switched off."""
    async with running_edge(home, edge_home / "worker-1.sock", BAZAAR_SHED="3") as edge:
        yield edge


@pytest_asyncio.fixture
async def client(shedding_edge):
    async with httpx.AsyncClient(base_url=shedding_edge.url, trust_env=False) as client:
        yield client


@pytest.fixture
def admin(tokens):
    return tokens.make(sub="u-admin", roles=["admin"])


@pytest.fixture
def switched(home, client, admin):
    """Switches, and waits until the edge has heard of it."""

    async def switch(level, expected):
        write_level(home / "envoy" / "shedding.yaml", level)
        await eventually(lambda: answers(client, admin), expected)

    return switch


async def answers(client, admin):
    """What calls of the three priorities are answered."""
    first = await client.get(FIRST)
    others = [await client.post(path, json={}, headers=admin) for path in (SECOND, THIRD)]
    return [answer.status_code for answer in (first, *others)]


async def test_an_edge_starts_with_what_it_is_told_to_shed(client, admin):
    assert await answers(client, admin) == [200, 201, 503]


async def test_a_switch_holds_at_once_and_never_for_priority_1(switched):
    await switched("2", [200, 503, 503])
    await switched("off", [200, 201, 200])
    await switched("3", [200, 201, 503])


async def test_a_shed_call_reaches_no_worker_and_is_told_why(client, switched, backend, admin):
    await switched("3", [200, 201, 503])
    backend.calls = 0
    refused = await client.post(THIRD, json={}, headers=admin)

    assert backend.calls == 0
    assert (refused.headers["retry-after"], refused.json()["message"]) == ("30", SENTENCE)
    assert [detail["reason"] for detail in refused.json()["details"]] == ["SHED"]


async def test_a_shed_call_of_grpc_is_unavailable(shedding_edge, switched, admin):
    await switched("3", [200, 201, 503])
    async with grpc.aio.insecure_channel(shedding_edge.address) as channel:
        catalog = catalog_service_pb2_grpc.CatalogServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await catalog.ImportProducts(catalog_service_pb2.ImportProductsRequest(), metadata=tuple(admin.items()))

    assert (refused.value.code(), refused.value.details()) == (grpc.StatusCode.UNAVAILABLE, SENTENCE)


async def test_what_is_shed_is_counted_by_priority(client, switched, home, admin):
    await switched("2", [200, 503, 503])
    before = await shed(home)
    for path in (SECOND, THIRD, THIRD):
        await client.post(path, json={}, headers=admin)

    await eventually(lambda: shed(home), {"2": before["2"] + 1, "3": before["3"] + 2})


async def test_a_workers_refusal_is_remembered_for_a_second(client, switched, backend, admin):
    await switched("off", [200, 201, 200])
    backend.shed_from, backend.calls = 3, 0
    refusals = [await client.post(THIRD, json={}, headers=admin) for _ in range(5)]

    assert [(refusal.status_code, refusal.headers["retry-after"]) for refusal in refusals] == [(503, "1")] * 5
    assert [refusal.json()["details"][0]["reason"] for refusal in refusals] == ["SHED"] * 5
    assert all("x-bazaar-shed" not in refusal.headers for refusal in refusals)
    assert backend.calls == 1

    backend.shed_from = 0
    await eventually(lambda: answers(client, admin), [200, 201, 200])


async def test_who_refuses_priority_2_refuses_3_too(client, switched, backend, admin):
    await switched("off", [200, 201, 200])
    backend.shed_from = 2
    await client.post(SECOND, json={}, headers=admin)
    backend.shed_from = 0

    assert await answers(client, admin) == [200, 503, 503]
    await eventually(lambda: answers(client, admin), [200, 201, 200])


async def shed(home):
    """How many calls this edge has shed, by priority."""
    found = await counters(home, "^shed")
    return {name.partition("priority.")[2].partition(".")[0]: value for name, value in found.items()}


def test_a_level_that_is_none_is_refused():
    with pytest.raises(ValueError):
        EdgeSettings.of({"BAZAAR_SHED": "1"})
