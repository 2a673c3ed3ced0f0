from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import RedisCluster

from services.kit.redis import open_redis
from tools.servers import free_port


@pytest.fixture
async def redis(empty_redis_url: str) -> AsyncIterator[RedisCluster]:
    client = open_redis(empty_redis_url)
    yield client
    await client.aclose()


@pytest.fixture
async def nobody() -> AsyncIterator[RedisCluster]:
    """A client of a Redis that isn't there."""
    client = open_redis(f"redis://:x@127.0.0.1:{free_port()}")
    yield client
    await client.aclose()
