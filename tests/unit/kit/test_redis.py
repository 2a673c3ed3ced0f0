import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis.asyncio import RedisCluster
from redis.exceptions import RedisError, ResponseError

from services.kit.errors import Unavailable
from services.kit.redis import RedisUnavailable, Script, open_redis
from services.kit.telemetry import tracing
from tests.spans import recorded
from tools.servers import Running, free_port
from tools.servers.redis import Redis

ADD_UP = Script("add_up", "return redis.call('INCRBY', KEYS[1], ARGV[1])")
PERSONAL_KEY = "login:asha@example.com"


@pytest.fixture
async def redis(empty_redis_url: str) -> AsyncIterator[RedisCluster]:
    client = open_redis(empty_redis_url)
    yield client
    await client.aclose()


async def test_a_value_is_read_back_as_bytes(redis: RedisCluster):
    await redis.set("stock:tv", 3)

    assert await redis.get("stock:tv") == b"3"


async def test_a_commands_span_names_the_command_and_the_keys_prefix(redis: RedisCluster):
    with recorded() as spans, tracing.span("outer"):
        await redis.set(PERSONAL_KEY, "secret")

    assert spans.named("SET login").attributes == {
        "db.system.name": "redis",
        "db.operation.name": "SET",
        "db.query.summary": "SET login",
    }


async def test_a_commands_span_is_a_child_of_the_callers(redis: RedisCluster):
    with recorded() as spans, tracing.span("outer"):
        await redis.get("stock:tv")

    assert spans.parent_of("GET stock") == "outer"


async def test_a_pipeline_is_one_span(redis: RedisCluster):
    with recorded() as spans, tracing.span("outer"):
        answers = await redis.pipeline().set("{a}:x", 1).incr("{a}:x").get("{a}:x").execute()

    assert (answers, spans.named("PIPELINE").attributes["db.operation.batch.size"]) == ([True, 2, b"2"], 3)
    assert len(spans.all) == 2


async def test_a_script_runs_though_no_node_knows_it(redis: RedisCluster):
    await redis.script_flush()

    assert await ADD_UP(redis, keys=["units:{tv}"], args=[2]) == 2


async def test_a_known_script_is_one_span_with_its_name(redis: RedisCluster):
    await ADD_UP(redis, keys=["units:{tv}"], args=[2])
    with recorded() as spans, tracing.span("outer"):
        await ADD_UP(redis, keys=["units:{tv}"], args=[2])

    assert [span.name for span in spans.all] == ["EVALSHA add_up", "outer"]


async def test_a_wrong_command_says_so(redis: RedisCluster):
    await redis.set("stock:tv", "many")

    with pytest.raises(ResponseError):
        await redis.incr("stock:tv")


async def test_more_commands_at_once_than_connections_wait_their_turn(redis: RedisCluster):
    counts = await asyncio.gather(*(redis.incr("count:x") for _ in range(1000)))

    assert sorted(counts) == list(range(1, 1001))


async def test_a_cancelled_command_leaves_no_answer_behind(redis: RedisCluster):
    await redis.set("name:a", "a")
    await redis.set("name:b", "b")
    for _ in range(50):
        reading = asyncio.create_task(redis.get("name:a"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        reading.cancel()
        await asyncio.wait([reading])
        assert await redis.get("name:b") == b"b"


async def test_a_cancelled_command_is_cancelled_however_far_it_has_come(redis: RedisCluster):
    await redis.set("name:a", "a")
    forgot: list[int] = []
    for turns in range(60):
        reading = asyncio.create_task(redis.get("name:a"))
        for _ in range(turns):
            await asyncio.sleep(0)
        if reading.cancel():
            await asyncio.wait([reading])
            forgot += [] if reading.cancelled() else [turns]

    assert forgot == []


async def test_nobody_listening_fails_at_once():
    client = open_redis(f"redis://127.0.0.1:{free_port()}")
    started = time.monotonic()
    with pytest.raises(RedisUnavailable):
        await client.get("stock:tv")

    assert time.monotonic() - started < 0.5


def test_unavailable_is_an_error_of_the_shop_and_of_redis():
    assert issubclass(RedisUnavailable, Unavailable)
    assert issubclass(RedisUnavailable, RedisError)


@contextmanager
def own_redis(directory: Path, port: int) -> Iterator[str]:
    server = Redis(directory / "redis", "test-password", port)
    with Running(server, directory / "redis.log"):
        yield server.url


async def test_a_restarted_redis_is_used_again(tmp_path: Path):
    port = free_port(also=10_000)
    with own_redis(tmp_path, port) as url:
        client = open_redis(url)
        await asyncio.gather(*(client.set(f"stock:{number}", number) for number in range(20)))
    with pytest.raises(RedisUnavailable):
        await client.set("stock:tv", 1)
    with own_redis(tmp_path, port):
        answers = await asyncio.gather(*(client.set(f"stock:{number}", number) for number in range(20)))
    await client.aclose()

    assert answers == [True] * 20


async def test_a_read_survives_a_restart_between_two_reads(tmp_path: Path):
    port = free_port(also=10_000)
    with own_redis(tmp_path, port) as url:
        client = open_redis(url)
        await client.get("stock:tv")
    with own_redis(tmp_path, port):
        assert await client.get("stock:tv") is None
    await client.aclose()


async def test_a_redis_that_keeps_silent_fails_within_three_seconds():
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    client = open_redis(f"redis://127.0.0.1:{silent.sockets[0].getsockname()[1]}")
    started = time.monotonic()
    with pytest.raises(RedisUnavailable):
        await client.get("stock:tv")
    silent.close()

    assert time.monotonic() - started < 3.5
