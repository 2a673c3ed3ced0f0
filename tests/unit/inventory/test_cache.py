import asyncio
import socket
from collections.abc import AsyncIterator, Sequence

import pytest
from redis.asyncio import RedisCluster

from services.inventory.cache import StockCache
from services.inventory.levels import Level
from services.kit.redis import open_redis


class Shelf:
    """Levels as PostgreSQL would have them."""

    def __init__(self) -> None:
        self.levels: dict[str, Level] = {}
        self.loads = 0

    async def load(self, skus: Sequence[str]) -> list[Level]:
        self.loads += 1
        return [self.levels[sku] for sku in skus]

    def put(self, sku: str, available: int, version: int) -> None:
        self.levels[sku] = Level(sku, available, version)


@pytest.fixture
async def redis(empty_redis_url: str) -> AsyncIterator[RedisCluster]:
    client = open_redis(empty_redis_url)
    yield client
    await client.aclose()


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def cache(redis: RedisCluster, shelf: Shelf) -> StockCache:
    return StockCache(lambda: redis, shelf.load)


async def test_a_changed_level_is_read_from_the_cache(cache: StockCache, shelf: Shelf):
    shelf.put("tv", 5, 1)
    shelf.put("cup", 0, 3)

    cache.changed(["tv", "cup"])
    await cache.write_changed()

    assert await cache.read(["cup", "tv", "pen"]) == {"tv": 5, "cup": 0}
    assert await cache.read(["tv"]) == {"tv": 5}


async def test_many_changes_of_one_sku_are_one_write(cache: StockCache, shelf: Shelf):
    shelf.put("tv", 5, 1)

    for _ in range(100):
        cache.changed(["tv"])
    await cache.write_changed()

    assert shelf.loads == 1


async def test_a_late_write_never_overwrites_a_newer_one(cache: StockCache):
    await cache.write([Level("tv", 3, 10)])
    await cache.write([Level("tv", 4, 9)])

    assert await cache.read(["tv"]) == {"tv": 3}


async def test_versions_are_compared_as_numbers(cache: StockCache):
    await cache.write([Level("tv", 3, 9)])
    await cache.write([Level("tv", 2, 10)])

    assert await cache.read(["tv"]) == {"tv": 2}


async def test_time_alone_may_change_a_level(cache: StockCache):
    await cache.write([Level("tv", 3, 9)])
    await cache.write([Level("tv", 5, 9)])

    assert await cache.read(["tv"]) == {"tv": 5}


async def test_a_level_is_forgotten_after_a_minute(cache: StockCache, redis: RedisCluster):
    await cache.write([Level("tv", 3, 1)])

    assert await redis.ttl("stock:{tv}") == 60


async def test_the_background_writes_what_changes(cache: StockCache, shelf: Shelf):
    shelf.put("tv", 5, 1)
    running = asyncio.create_task(cache.keep_written())

    cache.changed(["tv"])
    async with asyncio.timeout(5):
        while not await cache.read(["tv"]):
            await asyncio.sleep(0.01)

    running.cancel()


async def test_with_redis_gone_nothing_is_known_and_nothing_fails(shelf: Shelf):
    nobody = open_redis("redis://:x@127.0.0.1:1")
    cache = StockCache(lambda: nobody, shelf.load)

    assert await cache.read(["tv"]) == {}
    assert await cache.read(["tv", "cup"]) == {}
    await nobody.aclose()


async def test_a_redis_that_is_silent_is_given_a_fifth_of_a_second_once(shelf: Shelf):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        frozen = open_redis(f"redis://:x@127.0.0.1:{silent.getsockname()[1]}")
        cache = StockCache(lambda: frozen, shelf.load)
        began_at = asyncio.get_running_loop().time()

        assert [await cache.read(["tv"]) for _ in range(10)] == [{}] * 10

        assert asyncio.get_running_loop().time() - began_at < 0.5
        await frozen.aclose()
