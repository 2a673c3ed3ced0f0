"""What a process with too much to do refuses, over a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from grpc.aio import AioRpcError

from bazaar.catalog.v1 import catalog_service_pb2 as pb
from bazaar.catalog.v1.catalog_service_pb2_grpc import CatalogServiceServicer, CatalogServiceStub, add_CatalogServiceServicer_to_server
from services.kit.auth import Policy
from services.kit.ids import uuid7
from services.kit.rpc.client import socket_channel
from services.kit.rpc.pipeline import Rules
from services.kit.rpc.server import Registry, serve_on
from services.kit.rpc.shedding import Pressure, Shed
from services.kit.rpc.waiting import Waiting
from services.kit.settings import REPOSITORY
from tests.serving import Client, refused, user

FIRST, SECOND, THIRD = "GetProduct", "CreateProduct", "ImportProducts"
"""Of each priority."""
REQUESTS = {
    FIRST: pb.GetProductRequest(product_id="p1"),
    SECOND: pb.CreateProductRequest(product={"product_id": "p1", "title": "Lamp", "category_path": ["Lights"]}),
    THIRD: pb.ImportProductsRequest(products=[{"product_id": "p1", "title": "Lamp", "category_path": ["Lights"]}]),
}


class Catalog(CatalogServiceServicer):
    """Answers, except to a read of "slow", which waits until it is let go."""

    def __init__(self) -> None:
        self.reading = 0
        self.let_go = asyncio.Event()

    async def GetProduct(self, request: Any, context: Any) -> Any:
        if request.product_id == "slow":
            self.reading += 1
            await self.let_go.wait()
        return pb.GetProductResponse()

    async def CreateProduct(self, request: Any, context: Any) -> Any:
        return pb.CreateProductResponse()

    async def ImportProducts(self, request: Any, context: Any) -> Any:
        return pb.ImportProductsResponse()


class Worker:
    """A process that thinks two calls at once are enough."""

    def __init__(self, catalog: Catalog, stub: Any, folder: Path) -> None:
        self.catalog = catalog
        self.folder = folder
        self.stub = stub
        self.admin = Client(stub, user(uuid7(), "admin"))
        self._waiting: list[asyncio.Task[Any]] = []

    async def be_busy_with(self, calls: int) -> None:
        self._waiting += [asyncio.ensure_future(self.admin.GetProduct(pb.GetProductRequest(product_id="slow"))) for _ in range(calls)]
        async with asyncio.timeout(10):
            while self.catalog.reading < len(self._waiting):
                await asyncio.sleep(0.005)

    async def answers(self) -> list[str]:
        """What calls of the three priorities come to."""
        return [await self.answer(method) for method in (FIRST, SECOND, THIRD)]

    async def answer(self, method: str, client: Any = None) -> str:
        try:
            await getattr(client or self.admin, method)(REQUESTS[method])
        except AioRpcError as error:
            return error.code().name
        return "OK"

    async def close(self) -> None:
        self.catalog.let_go.set()
        await asyncio.gather(*self._waiting)


@pytest.fixture
async def worker(folder) -> AsyncIterator[Worker]:
    catalog = Catalog()
    registry = Registry(Rules(Policy.load(REPOSITORY / "mesh" / "policy.yaml"), lambda session: False, pressure=Pressure(most_calls=2)))
    registry.add("catalog", [(add_CatalogServiceServicer_to_server, catalog)])
    server = serve_on((registry,), f"unix:{folder}/worker.sock")
    await server.start()
    async with socket_channel(f"unix:{folder}/worker.sock") as channel:
        worker = Worker(catalog, CatalogServiceStub(channel), folder)
        yield worker
        await worker.close()
    await server.stop(0)


async def test_a_process_with_little_to_do_answers_all(worker):
    await worker.be_busy_with(1)

    assert await worker.answers() == ["OK", "OK", "OK"]


async def test_with_much_to_do_it_refuses_priority_3(worker):
    await worker.be_busy_with(2)

    assert await worker.answers() == ["OK", "OK", "UNAVAILABLE"]


async def test_with_twice_as_much_it_refuses_priority_2_too_and_never_1(worker):
    await worker.be_busy_with(40)

    assert await worker.answers() == ["OK", "UNAVAILABLE", "UNAVAILABLE"]


async def test_once_it_is_done_it_answers_all_again(worker):
    await worker.be_busy_with(4)
    await worker.close()

    assert await worker.answers() == ["OK", "OK", "OK"]


async def test_a_refusal_says_why_and_tells_the_edge_from_which_priority_on(worker):
    await worker.be_busy_with(2)
    with pytest.raises(AioRpcError) as caught:
        await worker.admin.ImportProducts(REQUESTS[THIRD])
    metadata = dict(caught.value.trailing_metadata())

    assert (metadata["x-bazaar-shed"], metadata["retry-after"]) == ("3", "1")
    assert await refused(worker.admin.ImportProducts(REQUESTS[THIRD])) == ("UNAVAILABLE", "SHED", {"priority": "3"})


@pytest.mark.parametrize(("wait", "shed_from"), [(0.0, 4), (0.24, 4), (0.25, 3), (0.49, 3), (0.5, 2), (60.0, 2)])
def test_a_long_wait_is_too_much_to_do_as_well(wait, shed_from):
    assert Pressure(most_wait=0.25, wait=lambda: wait).shed_from == shed_from


def test_priority_1_passes_whatever_there_is_to_do():
    Pressure(most_wait=0.25, wait=lambda: 60.0).check(1)


def test_without_limits_nothing_is_shed():
    pressure = Pressure(wait=lambda: 60.0)
    with pressure, pressure:
        pressure.check(3)


def test_what_is_shed_is_counted(monkeypatch):
    counted: list[tuple[int, dict[str, int]]] = []
    monkeypatch.setattr("services.kit.rpc.shedding._shed.add", lambda value, attributes: counted.append((value, attributes)))
    with pytest.raises(Shed):
        Pressure(most_wait=0.25, wait=lambda: 1.0).check(3)

    assert counted == [(1, {"bazaar.priority": 3})]


def test_one_long_wait_is_not_yet_too_long():
    waiting = Waiting()
    waiting.note(0.6)

    assert 0.3 < waiting.seconds < 0.5


def test_waits_that_go_on_are():
    waiting = Waiting()
    for _ in range(3):
        waiting.note(0.6)

    assert 0.5 < waiting.seconds < 0.6


async def test_a_process_hears_by_itself_that_it_answers_late(worker):
    """Nobody answers there: as late as can be."""
    waiting = Waiting()
    measuring = asyncio.ensure_future(waiting.measure(f"unix:{worker.folder}/silent.sock"))
    silent = await asyncio.start_unix_server(lambda reader, writer: None, f"{worker.folder}/silent.sock")
    async with asyncio.timeout(10):
        while waiting.seconds < 0.5:
            await asyncio.sleep(0.02)
    measuring.cancel()
    silent.close()
