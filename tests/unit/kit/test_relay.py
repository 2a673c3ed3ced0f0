import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from time import monotonic

import pytest

from services.kit import outbox
from services.kit import relay as relay_module
from services.kit.database import Database
from services.kit.events.port import Event
from services.kit.ids import uuid7
from services.kit.leader import Lease, LeaseLost
from services.kit.migrations import KIT_MIGRATIONS, migrate
from services.kit.relay import BATCH, Relay

# Relays, with standard output for a bus. Told to, it freezes after the bus took its first batch and before the outbox hears of it.
RELAY_PROCESS = """
import asyncio, os, signal, sys
from services.kit.database import Database
from services.kit.leader import LeaseLost, lead
from services.kit.relay import Relay
from services.kit.telemetry import logs

async def main() -> None:
    logs.setup("relay")
    freezes = sys.argv[2:] == ["freeze"]
    database = Database(sys.argv[1])
    await database.open()

    async def publish(events) -> None:
        nonlocal freezes
        print(" ".join(event.key for event in events), flush=True)
        if freezes:
            freezes = False
            os.kill(os.getpid(), signal.SIGSTOP)

    async def work(lease) -> None:
        try:
            await Relay(database, publish).run(lease)
        except LeaseLost:
            print(f"lost {lease.epoch}", flush=True)
            raise

    await lead(sys.argv[1], "relay", work)

asyncio.run(main())
"""


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    await migrate(database_url, [("kit", KIT_MIGRATIONS)])
    database = Database(database_url)
    await database.open()
    yield database
    await database.close()


def event(key: str) -> Event:
    return Event(uuid7(), "orders", key, "bazaar.orders.v1.OrderPlaced", key, 1, b"\x00payload", "orders", datetime.now(UTC), "")


async def commit(database: Database, *keys: str) -> list[Event]:
    events = [event(key) for key in keys]
    async with database.transaction() as tx:
        outbox.append(tx, events)
    return events


async def left(database: Database) -> list[str]:
    async with database.connection() as connection:
        return [row["key"] for row in await (await connection.execute("SELECT key FROM outbox ORDER BY id")).fetchall()]


async def elect(database: Database) -> Lease:
    """The next epoch's lease, as `lead` would give it."""
    async with database.connection() as connection:
        cursor = await connection.execute(
            "INSERT INTO leaders (name, epoch) VALUES ('relay', 1)"
            " ON CONFLICT (name) DO UPDATE SET epoch = leaders.epoch + 1 RETURNING epoch"
        )
        row = await cursor.fetchone()
    assert row
    lease = Lease("relay", row["epoch"])
    lease.renew(monotonic() + 60)
    return lease


class Bus:
    """Notes what is published; `then` is a step between publishing and the relay's delete."""

    def __init__(self, then: Callable[[], Awaitable[object]] | None = None) -> None:
        self.published: list[Event] = []
        self.batches: asyncio.Queue[list[str]] = asyncio.Queue()
        self._then = then

    async def publish(self, events: Sequence[Event]) -> None:
        self.published.extend(events)
        self.batches.put_nowait([event.key for event in events])
        if self._then:
            await self._then()


async def test_committed_events_are_published_whole_in_order_and_deleted(database: Database):
    first = await commit(database, "a", "b")
    second = await commit(database, "c")
    bus = Bus()

    assert await Relay(database, bus.publish).relay_batch(await elect(database)) == 3
    assert bus.published == first + second
    assert await left(database) == []


async def test_a_batch_is_bounded(database: Database):
    await commit(database, *(str(number) for number in range(BATCH + 1)))
    bus = Bus()
    relay, lease = Relay(database, bus.publish), await elect(database)

    assert [await relay.relay_batch(lease), await relay.relay_batch(lease), await relay.relay_batch(lease)] == [BATCH, 1, 0]


async def test_an_event_that_commits_late_is_published_though_later_ids_went_first(database: Database):
    bus = Bus()
    relay, lease = Relay(database, bus.publish), await elect(database)
    async with database.transaction() as slow:
        outbox.append(slow, [event("slow")])
        await commit(database, "fast")
        await relay.relay_batch(lease)
    await relay.relay_batch(lease)

    assert [published.key for published in bus.published] == ["fast", "slow"]


async def test_a_commit_of_this_process_wakes_the_relay(database: Database, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(relay_module, "_SHORTEST_WAIT_SECONDS", 60)
    monkeypatch.setattr(relay_module, "_LONGEST_WAIT_SECONDS", 60)
    bus = Bus()
    running = asyncio.create_task(Relay(database, bus.publish).run(await elect(database)))
    async with asyncio.timeout(20):
        for number in range(3):
            await commit(database, str(number))
            assert await bus.batches.get() == [str(number)]

    running.cancel()


async def test_the_delete_of_a_relay_that_was_succeeded_while_it_published_is_refused(database: Database):
    await commit(database, "a")
    bus = Bus(then=lambda: elect(database))

    with pytest.raises(LeaseLost):
        await Relay(database, bus.publish).relay_batch(await elect(database))

    assert await left(database) == ["a"]


async def test_a_lease_that_is_no_longer_trusted_publishes_nothing(database: Database):
    await commit(database, "a")
    bus = Bus()
    lease = await elect(database)
    lease.end()

    with pytest.raises(LeaseLost):
        await Relay(database, bus.publish).relay_batch(lease)

    assert (bus.published, await left(database)) == ([], ["a"])


async def test_what_the_bus_refuses_stays_and_is_published_later(database: Database):
    await commit(database, "a", "b")
    failures = 2

    async def fail_twice() -> None:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise ConnectionError

    bus = Bus(then=fail_twice)
    running = asyncio.create_task(Relay(database, bus.publish).run(await elect(database)))

    assert [await bus.batches.get() for _ in range(3)] == [["a", "b"]] * 3
    while await left(database):
        await asyncio.sleep(0.01)
    running.cancel()


async def test_a_relay_frozen_between_publishing_and_deleting_deletes_nothing_that_its_successor_has_yet_to_publish(database: Database):
    frozen = await asyncio.create_subprocess_exec(sys.executable, "-c", RELAY_PROCESS, database.url, "freeze", stdout=PIPE)
    assert frozen.stdout
    await commit(database, "a")
    assert await frozen.stdout.readline() == b"a\n"
    successor = await asyncio.create_subprocess_exec(sys.executable, "-c", RELAY_PROCESS, database.url, stdout=PIPE)
    assert successor.stdout
    async with asyncio.timeout(20):
        assert await successor.stdout.readline() == b"a\n"
    await commit(database, "b")
    assert await successor.stdout.readline() == b"b\n"
    os.kill(frozen.pid, signal.SIGCONT)

    async with asyncio.timeout(20):
        assert await frozen.stdout.readline() == b"lost 1\n"
    await commit(database, "c")
    assert await successor.stdout.readline() == b"c\n"
    for process in (frozen, successor):
        process.kill()
        await process.communicate()
