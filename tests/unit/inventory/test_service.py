"""Where CheckStock gets its answer from."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from redis.asyncio import RedisCluster

from bazaar.inventory.v1 import inventory_service_pb2 as pb
from services.inventory.cache import StockCache
from services.inventory.levels import Level
from services.inventory.service import InventoryServicer
from services.kit.redis import open_redis
from tests.stock import Inventory

Check = Callable[[str, int], Any]


@pytest.fixture
async def redis(empty_redis_url: str) -> AsyncIterator[RedisCluster]:
    client = open_redis(empty_redis_url)
    yield client
    await client.aclose()


@pytest.fixture
async def nobody() -> AsyncIterator[RedisCluster]:
    client = open_redis("redis://:x@127.0.0.1:1")
    yield client
    await client.aclose()


def check_with(shelf: Inventory, redis: RedisCluster) -> tuple[Check, StockCache]:
    cache = StockCache(lambda: redis, shelf.stock.levels)
    unasked: Any = None
    servicer: Any = InventoryServicer(shelf.stock, shelf.reservations, cache, unasked, unasked)

    async def check(sku: str, quantity: int) -> tuple[bool, int]:
        answer = await servicer.CheckStock(pb.CheckStockRequest(sku=sku, quantity=quantity), None)
        return answer.in_stock, answer.available

    return check, cache


async def test_enough_in_redis_is_believed(shelf: Inventory, redis: RedisCluster):
    check, cache = check_with(shelf, redis)
    await cache.write([Level("tv", 7, 1)])

    assert await check("tv", 7) == (True, 7)


async def test_not_enough_in_redis_is_asked_of_postgresql(shelf: Inventory, redis: RedisCluster):
    await shelf.receive("tv", 9)
    check, cache = check_with(shelf, redis)
    await cache.write([Level("tv", 7, 1)])

    assert await check("tv", 8) == (True, 9)


async def test_what_redis_does_not_know_is_asked_of_postgresql_and_known_afterwards(shelf: Inventory, redis: RedisCluster):
    await shelf.receive("tv", 9)
    check, cache = check_with(shelf, redis)

    assert await check("tv", 1) == (True, 9)
    await cache.write_changed()
    assert await cache.read(["tv"]) == {"tv": 9}


async def test_with_redis_gone_the_answer_is_as_right(shelf: Inventory, nobody: RedisCluster):
    await shelf.receive("tv", 9)
    check, _ = check_with(shelf, nobody)

    assert await check("tv", 9) == (True, 9)
    assert await check("tv", 10) == (False, 9)


async def test_with_redis_gone_stock_is_reserved_as_ever(shelf: Inventory, nobody: RedisCluster):
    check, cache = check_with(shelf, nobody)
    await shelf.receive("tv", 1)
    cache.changed(["tv"])
    await shelf.reserve("tv", 1)

    assert await check("tv", 1) == (False, 0)
