"""The edge where each service is by itself, behind a name, as in Kubernetes."""

from __future__ import annotations

import asyncio

import grpc.aio
import httpx
import pytest
import pytest_asyncio
import yaml

from bazaar.orders.v1 import orders_service_pb2_grpc
from bazaar.ranking.v1 import ranking_service_pb2_grpc
from gateway.__main__ import main as write_configuration
from services.__main__ import NOUNS
from tests.unit.gateway.conftest import Backend, Orders, Ranking
from tools import secrets
from tools.servers import Running, free_port
from tools.servers.envoy import Envoy

SHEDDABLE = {f"{noun}-sheddable" for noun in NOUNS}


async def serving(add, servicer):
    server = grpc.aio.server()
    add(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, f"127.0.0.1:{port}"


@pytest_asyncio.fixture(scope="module")
async def spread(tmp_path_factory):
    """An edge whose rankings and orders are two processes; every other service is away."""
    home, port, backends = tmp_path_factory.mktemp("edge"), free_port(), {"ranking": Backend(), "orders": Backend()}
    (home / "secrets").mkdir()
    secrets.make_missing(home / "secrets")
    ranking, ranking_address = await serving(ranking_service_pb2_grpc.add_RankingServiceServicer_to_server, Ranking(backends["ranking"]))
    orders, orders_address = await serving(orders_service_pb2_grpc.add_OrdersServiceServicer_to_server, Orders(backends["orders"]))
    addresses = {**dict.fromkeys(NOUNS, f"localhost:{free_port()}"), "ranking": ranking_address, "orders": orders_address}
    with pytest.MonkeyPatch.context() as environment:
        for name, address in addresses.items():
            environment.setenv(f"BAZAAR_ADDRESS_{name.upper()}", address)
        write_configuration([str(home), str(port), "0"])
    running = Running(Envoy(home / "envoy" / "envoy.yaml", port, port), home / "envoy.log")
    running.start()
    await asyncio.to_thread(running.wait)
    yield f"http://127.0.0.1:{port}", backends, yaml.safe_load((home / "envoy" / "envoy.yaml").read_text())
    running.stop()
    await ranking.stop(0)
    await orders.stop(0)


async def test_a_call_goes_to_the_service_that_the_method_belongs_to(spread):
    url, backends, _ = spread
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        answer = await client.get("/v1/queryTopProducts", params={"category": "tv"})

    assert (answer.status_code, backends["ranking"].calls, backends["orders"].calls) == (200, 1, 0)


async def test_what_is_not_in_the_cache_is_asked_of_that_service_too(spread):
    url, backends, _ = spread
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        before = backends["ranking"].calls
        answers = [await client.get("/v1/queryTopProducts", params={"category": "cached-tv"}) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert backends["ranking"].calls == before + 1


async def test_a_service_that_is_away_fails_its_own_calls_alone(spread):
    url, _, _ = spread
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        away = await client.get("/v1/products/tv")
        there = await client.get("/v1/queryTopProducts", params={"category": "radio"})

    assert (away.status_code, there.status_code) == (503, 200)
    assert (away.json()["code"], away.json()["details"][0]["reason"]) == (14, "UNAVAILABLE")


async def test_it_is_healthy_whatever_the_services_are(spread):
    async with httpx.AsyncClient(base_url=spread[0], trust_env=False) as client:
        assert (await client.get("/healthz")).status_code == 200


def test_without_a_port_for_tls_there_is_one_listener_for_clients(spread):
    assert [listener["name"] for listener in spread[2]["static_resources"]["listeners"]] == ["edge"]


def test_every_service_is_a_cluster(spread):
    assert {cluster["name"] for cluster in spread[2]["static_resources"]["clusters"]} == {*NOUNS, *SHEDDABLE}
