"""A worker is killed by SIGKILL in the middle of a rush; its customers ask again, with the same keys, and reach another one."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from grpc.aio import AioRpcError

from bazaar.orders.v1 import orders_pb2
from services.kit.rpc.client import socket_channel
from services.kit.settings import REPOSITORY
from tests.shop import Shop

State = orders_pb2.Order.State
_BUYERS = 16
_ORDERS = 64
_ANSWERED_BEFORE_THE_KILL = 20


class Worker(Shop):
    """The shop, reached through a worker process of its own."""

    def __init__(self, shop: Shop, listen: str, process: asyncio.subprocess.Process) -> None:
        super().__init__(shop.runtime, shop.settings.model_copy(update={"listen": listen}), shop.servers, shop.sandbox)
        self._channel = socket_channel(listen)
        self.process = process

    async def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()

    async def hang_up(self) -> None:
        assert self._channel is not None
        await self._channel.close()


@pytest.fixture
async def worker(shop: Shop, tmp_path: Path) -> AsyncIterator[Worker]:
    """`python -m services` beside the shop of this process, on the same servers."""
    settings = shop.settings
    listen = f"{settings.listen.removesuffix('.sock')}-worker.sock"
    environment = {
        **os.environ,
        "BAZAAR_LISTEN": listen,
        "BAZAAR_PROCESS": "killed",
        "BAZAAR_DATABASE_URL": settings.database_url,
        "BAZAAR_EVENTS_URL": settings.events_url,
        "BAZAAR_REDIS_URL": settings.redis_url,
        "BAZAAR_MONGO_URL": settings.mongo_url,
        "BAZAAR_SEARCH_URL": settings.search_url,
        "BAZAAR_GATEWAYS": settings.gateways,
        "BAZAAR_SECRETS": str(settings.secrets),
    }
    with (tmp_path / "worker.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services", cwd=REPOSITORY, env=environment, stdout=log, stderr=log
        )
    worker = Worker(shop, listen, process)
    try:
        async with asyncio.timeout(60):
            assert worker._channel is not None
            await worker._channel.channel_ready()
        yield worker
    finally:
        if process.returncode is None:
            await worker.kill()
        await worker.hang_up()


async def test_no_order_is_lost_or_doubled_when_a_worker_is_killed_in_a_rush(shop: Shop, worker: Worker):
    sku, buyers = await shop.stocked(_ORDERS + 10), [await shop.customer() for _ in range(_BUYERS)]
    answered: dict[int, orders_pb2.Order] = {}
    has_enough = asyncio.Event()

    async def buy_one_after_the_other(first: int) -> None:
        with suppress(AioRpcError):
            for number in range(first, _ORDERS, _BUYERS):
                answered[number] = await worker.order(buyers[first], (sku, 1), key=f"rush-{number}")
                if len(answered) == _ANSWERED_BEFORE_THE_KILL:
                    has_enough.set()

    rush = [asyncio.create_task(buy_one_after_the_other(first)) for first in range(_BUYERS)]
    async with asyncio.timeout(30):
        await has_enough.wait()
    await worker.kill()
    await asyncio.gather(*rush)
    assert len(answered) < _ORDERS, "it was killed too late"

    await shop.execute("orders", "UPDATE orders SET claimed_until = now() WHERE state = 'CREATED'")
    repeated = await asyncio.gather(
        *(shop.order_at_last(buyers[number % _BUYERS], (sku, 1), key=f"rush-{number}") for number in range(_ORDERS))
    )

    assert [State.Name(order.state) for order in repeated] == ["CONFIRMED"] * _ORDERS
    assert {number: repeated[number].order_id for number in answered} == {number: order.order_id for number, order in answered.items()}
    ids = [buyer.principal.id for buyer in buyers]
    states = await shop.execute("orders", "SELECT state FROM orders WHERE user_id = ANY(%s::uuid[])", ids)
    assert Counter(state for (state,) in states) == {"CONFIRMED": _ORDERS}
    assert await shop.balance(sku) == (10, 0)
