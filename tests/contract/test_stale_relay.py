"""A relay that was frozen in the middle of its work and wakes when another one leads: it spoils nothing, on either bus."""

import asyncio
from collections.abc import Sequence

import pytest

from services.kit.database import Database
from services.kit.events.port import Event, EventBus
from services.kit.inbox import unseen
from services.kit.leader import Lease, LeaseLost
from services.kit.migrations import KIT_MIGRATIONS, migrate
from services.kit.outbox import append
from services.kit.relay import Relay
from tests.conftest import TestPostgres
from tests.contract.event_fixtures import Stage, eventually, new_event


@pytest.fixture
async def database(postgres: TestPostgres):
    url = postgres.fresh_database()
    await migrate(url, [("kit", KIT_MIGRATIONS)])
    database = Database(url)
    await database.open()
    yield database
    await database.close()


async def test_what_a_stale_relay_publishes_again_is_done_once_and_in_order(stage: Stage, bus: EventBus, database: Database):
    done: list[int] = []

    async def work(events: Sequence[Event]) -> None:
        async with database.transaction() as tx:
            done.extend(event.aggregate_version for event in await unseen(tx, stage.group, events))

    is_frozen, wakes = asyncio.Event(), asyncio.Event()

    async def publish_late(events: Sequence[Event]) -> None:
        is_frozen.set()
        await wakes.wait()
        await bus.publish(events)

    await _change(database, stage.topic, 1, 2)
    stale = asyncio.create_task(Relay(database, publish_late).relay_batch(await _elected(database, 1)))
    await is_frozen.wait()
    successor = Relay(database, bus.publish)
    lease = await _elected(database, 2)
    await successor.relay_batch(lease)
    await _change(database, stage.topic, 3)
    await successor.relay_batch(lease)
    async with stage.consuming(work):
        await eventually(lambda: done == [1, 2, 3], "the successor's arrive")
        wakes.set()
        with pytest.raises(LeaseLost):
            await stale
        await _change(database, stage.topic, 4)
        await successor.relay_batch(lease)
        await eventually(lambda: 4 in done, "what comes after them arrives")
        await stage.acked()

    assert done == [1, 2, 3, 4]


async def _change(database: Database, topic: str, *versions: int) -> None:
    async with database.transaction() as tx:
        append(tx, [new_event(topic, "k", version) for version in versions])


async def _elected(database: Database, epoch: int) -> Lease:
    async with database.connection() as connection:
        await connection.execute(
            "INSERT INTO leaders (name, epoch) VALUES ('shop', %s) ON CONFLICT (name) DO UPDATE SET epoch = %s", [epoch, epoch]
        )
    lease = Lease("shop", epoch)
    lease.renew(asyncio.get_running_loop().time())
    return lease
