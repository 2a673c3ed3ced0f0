"""What may be shed has only so many places at the workers, whatever they say themselves."""

import asyncio
from contextlib import asynccontextmanager

import grpc
import httpx
import pytest
import pytest_asyncio
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from bazaar.catalog.v1 import catalog_service_pb2, catalog_service_pb2_grpc
from gateway.errors import NO_PLACE, NO_PLACE_SENTENCE
from gateway.settings import EdgeSettings
from tests.shop import eventually
from tests.unit.gateway.conftest import running_edge
from tests.unit.gateway.limited import counters, home_like

FIRST, SECOND, THIRD = "/v1/queryTopProducts?category=tv", "/v1/products", "/v1/products:import"
"""Of each priority; the second and the third take a POST."""
PLACES = {SECOND: 2, THIRD: 1}
RUSH = 40
REMEMBERED_SECONDS = 0.03
"""Longer than an edge remembers that there was no place."""


@pytest_asyncio.fixture(scope="module")
async def home(edge_home):
    return home_like(edge_home, "crowded")


@pytest_asyncio.fixture(scope="module")
async def crowded_edge(running_backend, edge_home, home):
    async with running_edge(home, edge_home / "worker-1.sock", BAZAAR_SHED_AT_ONCE="2") as edge:
        yield edge


@pytest_asyncio.fixture
async def client(crowded_edge, tokens):
    admin = tokens.make(sub="u-admin", roles=["admin"])
    async with httpx.AsyncClient(base_url=crowded_edge.url, headers=admin, trust_env=False) as client:
        yield client


@pytest.fixture
def full(client, backend):
    """Takes every place of a priority, until the block ends."""

    @asynccontextmanager
    async def take(path):
        await asyncio.sleep(REMEMBERED_SECONDS)
        backend.let_go.clear()
        waiting = [asyncio.ensure_future(client.post(path, json={})) for _ in range(PLACES[path])]
        try:
            await eventually(lambda: asked(backend), len(waiting))
            yield
        finally:
            backend.let_go.set()
            assert {answer.is_success for answer in await asyncio.gather(*waiting)} == {True}

    return take


async def asked(backend):
    return backend.calls


@pytest.mark.parametrize("path", PLACES)
async def test_who_finds_no_place_is_told_so_at_once(client, full, backend, path):
    async with full(path):
        refused = await client.post(path, json={})

    assert (refused.status_code, refused.headers["retry-after"], backend.calls) == (503, "1", PLACES[path])
    assert refused.json() == {
        "code": 14,
        "message": NO_PLACE_SENTENCE,
        "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "SHED", "domain": "bazaar.dev", "metadata": {}}],
    }
    assert [name for name in refused.headers if name.startswith(("grpc-", "x-bazaar-"))] == []


async def test_priority_1_needs_none(client, full):
    async with full(SECOND):
        assert [(await client.get(FIRST)).status_code for _ in range(5)] == [200] * 5


async def test_each_priority_has_places_of_its_own(client, full, backend):
    async with full(THIRD):
        second = asyncio.ensure_future(client.post(SECOND, json={}))
        await eventually(lambda: asked(backend), PLACES[THIRD] + 1)

    assert (await second).status_code == 201


async def test_a_place_is_free_again_once_its_call_is_answered(client, full):
    async with full(SECOND):
        pass

    assert (await client.post(SECOND, json={})).status_code == 201


async def test_grpc_is_told_the_same(crowded_edge, client, full):
    metadata = (("authorization", client.headers["authorization"]),)
    async with full(THIRD), grpc.aio.insecure_channel(crowded_edge.address) as channel:
        catalog = catalog_service_pb2_grpc.CatalogServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await catalog.ImportProducts(catalog_service_pb2.ImportProductsRequest(), metadata=metadata)

    info = error_details_pb2.ErrorInfo()
    rpc_status.from_call(refused.value).details[0].Unpack(info)
    told = refused.value.code(), refused.value.details(), info.reason
    assert told == (grpc.StatusCode.UNAVAILABLE, NO_PLACE_SENTENCE, "SHED")


async def test_it_counts_as_shed(client, full, home):
    before = await shed(home, NO_PLACE)
    async with full(SECOND):
        await client.post(SECOND, json={})

    await eventually(lambda: shed(home, NO_PLACE), before + 1)


async def test_in_a_rush_not_every_call_looks_for_a_place(client, full, home, backend):
    before = await shed(home, "lua_response")
    async with full(SECOND):
        answers = [await client.post(SECOND, json={}) for _ in range(RUSH)]

    assert {(answer.status_code, answer.json()["message"], answer.headers["retry-after"]) for answer in answers} == {
        (503, NO_PLACE_SENTENCE, "1")
    }
    assert backend.calls == PLACES[SECOND]
    await eventually(lambda: is_above(home, before), True)


async def is_above(home, before):
    return await shed(home, "lua_response") > before


async def shed(home, why):
    """How many calls of priority 2 this edge has refused for that."""
    found = await counters(home, "^shed")
    return sum(value for name, value in found.items() if "priority.2" in name and why in name)


@pytest.mark.parametrize("text", ["1", "0", "-5", "many"])
def test_a_number_that_leaves_no_place_for_priority_3_is_refused(text):
    with pytest.raises(ValueError):
        EdgeSettings.of({"BAZAAR_SHED_AT_ONCE": text})
