"""The event bus is away under a stream of orders: they go on, and what they told arrives when it is back."""

import asyncio
import os
import time

import pytest

from bazaar.orders.v1 import orders_pb2
from services.kit.ids import uuid7
from tests.chaos.steps import bus_away
from tests.shop import Shop, category_of, eventually

AWAY_SECONDS = 60 if os.environ.get("BAZAAR_TEST_ALL") else 5
EVENTS_AN_ORDER = 3
"""OrderCreated, OrderPlaced, OrderLinesPlaced."""


@pytest.mark.timeout(300)
async def test_orders_go_on_and_nothing_that_they_tell_is_lost(shop: Shop):
    path = ("Away " + uuid7()[-6:],)
    sku, customer = await shop.stocked(1000, path=path), await shop.customer()
    placed: list[orders_pb2.Order] = []

    async with bus_away(shop):
        until = time.monotonic() + AWAY_SECONDS
        while time.monotonic() < until:
            placed.append(await shop.order(customer, (sku, 1)))
            await asyncio.sleep(0.1)
        waiting = await _waiting(shop)

    assert {order.state for order in placed} == {orders_pb2.Order.State.CONFIRMED}
    assert waiting >= EVENTS_AN_ORDER * len(placed)
    await eventually(lambda: _waiting(shop), 0, seconds=30)
    assert await shop.violations() == []
    assert [(row[0], row[2]) for row in await shop.top(category_of(path), metric="units")] == [(sku, len(placed))]


async def _waiting(shop: Shop) -> int:
    ((count,),) = await shop.execute("orders", "SELECT count(*) FROM outbox")
    return count
