"""A client of a Redis Cluster follows a copy that has taken a primary's place."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import RedisCluster

from services.kit.redis import RedisUnavailable, open_redis
from tests.redis_cluster import Cluster

SECONDS = 10


@pytest.fixture
async def redis(redis_cluster: Cluster) -> AsyncIterator[RedisCluster]:
    client = open_redis(redis_cluster.servers[1].url)
    yield client
    await client.aclose()


async def kept(redis: RedisCluster) -> str:
    """A key of the first node that its copy has too."""
    key = next(f"stock:{number}" for number in range(1000) if redis.keyslot(f"stock:{number}") < 5461)
    await redis.set(key, 3)
    assert await redis.wait(1, 5000, target_nodes=redis.get_node_from_key(key)) == 1
    return key


async def test_after_commands(redis: RedisCluster, redis_cluster: Cluster):
    key = await kept(redis)
    redis_cluster.running[0].kill()

    async with asyncio.timeout(SECONDS):
        while True:
            try:
                assert await redis.get(key) == b"3"
                break
            except RedisUnavailable:
                await asyncio.sleep(0.1)


async def test_after_pipelines_that_raise_nothing(redis: RedisCluster, redis_cluster: Cluster):
    """What a frozen node owes them is an answer that is late, which isn't raised."""
    key = await kept(redis)
    redis_cluster.running[0].send(signal.SIGSTOP)
    try:
        async with asyncio.timeout(SECONDS):
            while await asked(redis, key) != [b"3"]:
                await asyncio.sleep(0.1)
    finally:
        redis_cluster.running[0].kill()


async def asked(redis: RedisCluster, key: str) -> list[object]:
    try:
        return await redis.pipeline().get(key).execute(raise_on_error=False)
    except RedisUnavailable:
        return []


async def test_other_slots_are_served_meanwhile(redis: RedisCluster, redis_cluster: Cluster):
    await kept(redis)
    other = next(f"stock:{number}" for number in range(1000) if redis.keyslot(f"stock:{number}") > 11_000)
    await redis.set(other, 4)
    redis_cluster.running[0].kill()

    assert await redis.get(other) == b"4"


async def test_a_node_that_hangs_keeps_no_other_slots_waiting(redis: RedisCluster, redis_cluster: Cluster):
    key = await kept(redis)
    other = next(f"stock:{number}" for number in range(1000) if redis.keyslot(f"stock:{number}") > 11_000)
    await redis.set(other, 4)
    redis_cluster.running[0].send(signal.SIGSTOP)
    try:
        with pytest.raises(RedisUnavailable):
            await redis.pipeline().get(key).execute()

        assert await redis.get(other) == b"4"
    finally:
        redis_cluster.running[0].kill()


async def test_a_pipeline_that_fails_breaks_off_nothing_that_others_wait_for(redis: RedisCluster, redis_cluster: Cluster):
    key = await kept(redis)
    other = next(f"list:{number}" for number in range(1000) if redis.keyslot(f"list:{number}") > 11_000)
    waiting = asyncio.create_task(redis.blpop([other], timeout=1))
    while not (await redis.info("clients", target_nodes=redis.get_node_from_key(other)))["blocked_clients"]:
        await asyncio.sleep(0.01)
    redis_cluster.running[0].kill()
    with pytest.raises(RedisUnavailable):
        await redis.pipeline().get(key).execute()

    assert await waiting is None
