"""Readers and consumers of rankings in processes of their own: `python -m services ranking` in the roles `serve` and `work`."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_health.v1.health_pb2_grpc import HealthStub

from bazaar.orders.v1 import events_pb2
from bazaar.ranking.v1 import ranking_pb2
from bazaar.ranking.v1 import ranking_service_pb2 as pb
from bazaar.ranking.v1.ranking_service_pb2_grpc import RankingServiceStub
from services.kit import outbox
from services.kit.events.port import Topic
from services.kit.events.postgres_bus import MIGRATIONS, PostgresBus
from services.kit.migrations import migrate
from services.kit.rpc.client import socket_channel
from services.ranking.model import Line, Window
from tests.ranked import counted, emptied, line, query, recount
from tests.serving import Client
from tests.shop import eventually
from tools import ROOT
from tools.secrets import make_missing

Source = ranking_pb2.Ranking.Source
Row = tuple[str, int, int, int]


class Apart:
    """Ranking's servers, and processes on them. The services that know products are away, so that answers are ranks and counts alone."""

    def __init__(self, folder: Path, environment: dict[str, str], bus: PostgresBus) -> None:
        self._folder = folder
        self._environment = environment
        self._bus = bus
        self._minute = int(time.time()) // 60
        self.lines: list[Line] = []

    async def publish(self, *products: str) -> None:
        """An order of just now."""
        lines = [line(product, place, line_number=place, minute=self._minute) for place, product in enumerate(products, start=1)]
        placed = events_pb2.OrderLineEvent(order_lines_placed=events_pb2.OrderLinesPlaced(lines=map(counted, lines)))
        await self._bus.publish([outbox.event(topic="order-lines", key="garden", subject="order", aggregate_version=3, message=placed)])
        self.lines += lines

    def expected(self) -> list[Row]:
        """What everything published comes to, in every window."""
        return [(each.product_id, each.orders, each.units, each.revenue) for each in recount(self.lines, query(), minute=self._minute)]

    @asynccontextmanager
    async def process(self, role: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """One that is ready. Killed in the end, if it still runs."""
        listen = f"unix:{self._folder}/{role}.sock"
        environment = {**self._environment, "BAZAAR_LISTEN": listen, "BAZAAR_ROLE": role, "BAZAAR_PROCESS": role}
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", "services", "ranking", env=environment, cwd=ROOT)
        try:
            async with socket_channel(listen) as channel, asyncio.timeout(30):
                await HealthStub(channel).Check(HealthCheckRequest(), wait_for_ready=True)
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    @asynccontextmanager
    async def reader(self) -> AsyncIterator[Reader]:
        """A process that only answers."""
        async with self.process("serve"), socket_channel(f"unix:{self._folder}/serve.sock") as channel:
            yield Reader(Client(RankingServiceStub(channel)))


class Reader:
    """Asks a process that answers."""

    def __init__(self, stub: Any) -> None:
        self._stub = stub

    async def answer(self, window: Window = Window.ALL) -> tuple[list[Row], int]:
        """The rows of the garden, and where they came from."""
        answer = await self._stub.QueryTopProducts(pb.QueryTopProductsRequest(category="garden", window=window, currency="INR"))
        return [(row.product_id, row.orders, row.units, row.revenue.minor_units) for row in answer.products], answer.source

    async def every_window(self) -> list[list[Row]]:
        """The rows of every window, when they come from the boards."""
        answers = [await self.answer(window) for window in Window]
        return [rows for rows, source in answers if source == Source.LIVE]


@pytest.fixture
async def apart(postgres: Any, empty_redis_url: str, folder: Path) -> AsyncIterator[Apart]:
    (folder / "secrets").mkdir()
    make_missing(folder / "secrets")
    events_url = postgres.fresh_database()
    await migrate(events_url, [("events", MIGRATIONS)])
    environment = {
        **os.environ,
        "BAZAAR_DATABASE_URL": await emptied(postgres.fresh_database()),
        "BAZAAR_EVENTS_URL": events_url,
        "BAZAAR_REDIS_URL": empty_redis_url,
        "BAZAAR_SECRETS": str(folder / "secrets"),
        "BAZAAR_LOG_LEVEL": "error",
        **{f"BAZAAR_ADDRESS_{name}": f"unix:{folder}/nobody.sock" for name in ("CATALOG", "PRICING", "INVENTORY", "ORDERS", "USERS")},
    }
    bus = PostgresBus(events_url)
    await bus.open()
    await bus.declare([Topic("order-lines")])
    yield Apart(folder, environment, bus)
    await bus.close()


async def test_a_reader_answers_in_every_window_what_a_consumer_has_counted(apart: Apart):
    async with apart.process("work"), apart.reader() as reader:
        await apart.publish("saw", "axe")
        await apart.publish("axe")

        await eventually(reader.every_window, [apart.expected()] * len(Window), 20)


async def test_readers_go_on_while_the_consumer_is_dead_and_the_count_follows_its_return(apart: Apart):
    async with apart.reader() as reader:
        async with apart.process("work") as consumer:
            await apart.publish("saw", "axe")
            await eventually(reader.every_window, [apart.expected()] * len(Window), 20)
            counted_before = apart.expected()
            consumer.kill()
            await consumer.wait()
        await apart.publish("axe", "hoe")
        meanwhile = [(await reader.answer())[0] for _ in range(20)]
        async with apart.process("work"):
            await eventually(reader.every_window, [apart.expected()] * len(Window), 20)

    assert meanwhile == [counted_before] * 20


async def test_consumers_count_while_no_reader_is_up(apart: Apart):
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(apart.process("work"))
        for _ in range(3):
            await apart.publish("saw", "axe")
        reader = await stack.enter_async_context(apart.reader())

        await eventually(reader.every_window, [apart.expected()] * len(Window), 20)
