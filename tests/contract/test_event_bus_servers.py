"""What every event bus does when its server dies, is restarted, or has no room left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg
import pytest

from services.kit.events import event_bus
from services.kit.events.port import Event, EventBus
from services.kit.events.postgres_bus import MIGRATIONS
from services.kit.migrations import migrate
from tests.contract.event_fixtures import Crew, Recorder, Stage, eventually, new_event, stage_on
from tests.pulsar import Broker, running_pulsar
from tools.servers import Running
from tools.servers.postgres import Postgres

EVENTS, KEYS = 100_000, 500


@dataclass
class Engine:
    """A bus's server that a test may maltreat."""

    url: str
    kill: Callable[[], None]
    start: Callable[[], None]
    fill: Callable[[], None]
    """Has it take nothing more, as a full disk does."""
    clear: Callable[[], None]
    """Makes room again."""


@pytest.fixture(scope="module", params=["postgres", pytest.param("pulsar", marks=pytest.mark.pulsar)])
async def engine(request: pytest.FixtureRequest, short_directory: Path) -> AsyncIterator[Engine]:
    """A server of this module's own."""
    if request.param == "pulsar":
        request.getfixturevalue("pulsar_jars")
        with running_pulsar(short_directory / "own-pulsar") as broker:
            yield _pulsar(broker)
        return
    with _postgres(short_directory / "own-postgres") as engine:
        await migrate(engine.url, [("events", MIGRATIONS)])
        yield engine


@contextmanager
def _postgres(folder: Path) -> Iterator[Engine]:
    server = Postgres(folder / "data", folder)
    running = Running(server, folder / "postgres.log")

    def start() -> None:
        running.start()
        running.wait()

    def read_only(value: str) -> None:
        # What hosted PostgreSQL does when its disk is full.
        with psycopg.connect(server.url(), autocommit=True) as connection:
            connection.execute(f"ALTER DATABASE bazaar_events SET default_transaction_read_only = {value}".encode())
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'bazaar_events'")

    start()
    try:
        server.create_databases(["bazaar_events"])
        yield Engine(server.url("bazaar_events"), running.kill, start, lambda: read_only("on"), lambda: read_only("off"))
    finally:
        running.stop()


def _pulsar(broker: Broker) -> Engine:
    def quota(limit: int) -> None:
        url, _, admin = broker.admin_url().partition("?admin=")
        token = url.partition(":")[2].removeprefix("//:").partition("@")[0]
        answer = httpx.post(
            f"{admin}/admin/v2/namespaces/bazaar/shop/backlogQuota",
            params={"backlogQuotaType": "destination_storage"},
            json={"limitSize": limit, "limitTime": -1, "policy": "producer_exception"},
            headers={"Authorization": f"Bearer {token}"},
        )
        answer.raise_for_status()

    return Engine(broker.admin_url(), broker.kill, broker.start, lambda: quota(1), lambda: quota(2**40))


@pytest.fixture
async def bus(engine: Engine) -> AsyncIterator[EventBus]:
    bus = event_bus(engine.url)
    await bus.open()
    yield bus
    await bus.close()


@pytest.mark.timeout(600)
async def test_100000_events_arrive_in_order_though_the_server_and_consumers_die(engine: Engine, bus: EventBus, tmp_path: Path):
    stage = await stage_on(bus, partitions=8)
    crew = Crew(engine.url, stage, tmp_path / "journal", batch_size=500)
    try:
        await crew.start("first")
        await crew.start("second")
        await _publish(stage, range(EVENTS // 4))
        crew.workers["first"].kill()
        await crew.start("third")
        publishing = asyncio.create_task(_publish(stage, range(EVENTS // 4, EVENTS)))
        await eventually(lambda: len(crew.lines("end", "third")) > 1000, "the third works", 60)
        await asyncio.to_thread(engine.kill)
        await asyncio.to_thread(engine.start)
        await publishing
        await stage.acked(seconds=120)
    finally:
        crew.stop_all()

    seen: dict[str, dict[int, None]] = {}
    for line in crew.lines("end"):
        seen.setdefault(line.key, {})[line.version] = None
    assert {key: list(versions) for key, versions in seen.items()} == {f"k{key}": list(range(key, EVENTS, KEYS)) for key in range(KEYS)}


async def test_what_was_published_is_there_after_a_kill(engine: Engine, bus: EventBus):
    stage = await stage_on(bus)
    await stage.publish("k", *range(100))

    engine.kill()
    await asyncio.to_thread(engine.start)

    seen = Recorder()
    async with stage.consuming(seen):
        await eventually(lambda: seen.versions == list(range(100)), "all arrive", 30)


async def test_nothing_is_lost_while_there_is_no_room(engine: Engine, bus: EventBus):
    stage = await stage_on(bus)
    seen = Recorder()
    async with stage.consuming(seen):
        await stage.publish("k", 0)
        await eventually(lambda: seen.versions == [0], "the group is there", 30)
        await stage.acked()
    await stage.publish("k", 1)

    await asyncio.to_thread(engine.fill)
    try:
        await _refused(stage)
    finally:
        await asyncio.to_thread(engine.clear)

    async with stage.consuming(seen):
        await _publish(stage, range(10, 20), keys=1)
        await eventually(lambda: len(set(seen.of_key("k0"))) == 10 and len(seen.of_key("k")) > 1, "both arrive", 30)
    assert seen.of_key("k")[:2] == [0, 1]


async def _publish(stage: Stage, versions: range, keys: int = KEYS) -> None:
    """As a relay does: in batches, each until it is stored."""
    for start in range(versions.start, versions.stop, 1000):
        events = [new_event(stage.topic, f"k{version % keys}", version) for version in range(start, min(start + 1000, versions.stop))]
        while not await _is_stored(stage, events):
            await asyncio.sleep(0.2)


async def _is_stored(stage: Stage, events: Sequence[Event]) -> bool:
    try:
        await stage.bus.publish(events)
    except Exception:
        return False
    return True


async def _refused(stage: Stage) -> None:
    """Publishes until the server takes no more."""
    async with asyncio.timeout(60):
        while await _is_stored(stage, [new_event(stage.topic, "k", 2)]):
            await asyncio.sleep(0.1)
