"""A Redis behind a link that is cut, seen from the loop that the services run on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import uvloop
from redis.asyncio import RedisCluster

from services.kit.redis import RedisUnavailable, open_redis
from tests.links import Link, Links
from tools.servers import Running, free_port
from tools.servers.redis import BUS, Redis


@pytest.fixture
def links(folder: Path) -> Iterator[Links]:
    link = Link("redis", free_port(also=BUS), free_port(also=BUS))
    with Links([link]) as links, Running(redis_behind(link, folder), folder / "log"):
        yield links


def redis_behind(link: Link, folder: Path) -> Redis:
    """A node that says it is where the link begins."""
    assert isinstance(link.at, int)
    return Redis(folder / "redis", "secret", link.at, [f"port {link.to}", f"cluster-announce-port {link.at}"])


def after_a_reset(links: Links, ask: Callable[[RedisCluster], Awaitable[object]]) -> object:
    """What it is answered whose connection was reset while it lay idle."""

    async def main() -> object:
        client = open_redis(f"redis://:secret@127.0.0.1:{links.at('redis')}")
        try:
            await client.set("pen", "red")
            links.cut("redis")
            links.heal("redis")
            await asyncio.sleep(0.1)
            return await ask(client)
        finally:
            await client.aclose()

    return uvloop.run(main())


async def test_a_read_is_asked_again(links: Links):
    assert await asyncio.to_thread(after_a_reset, links, lambda client: client.get("pen")) == b"red"


async def test_a_pipeline_is_refused_as_one_of_a_redis_that_is_away(links: Links):
    async def set_two(client: RedisCluster) -> object:
        pipeline = client.pipeline()
        pipeline.set("pen", "blue")
        pipeline.set("cup", "blue")
        return await pipeline.execute()

    with pytest.raises(RedisUnavailable):
        await asyncio.to_thread(after_a_reset, links, set_two)
