"""The PostgreSQL bus while its events are being moved away."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from services.kit.database import Connection
from services.kit.errors import Unavailable
from services.kit.events.departure import Departure
from services.kit.events.port import Event, Subscription
from services.kit.events.postgres_bus import PostgresBus
from tests.unit.kit.events_on_postgres import bus as bus
from tests.unit.kit.events_on_postgres import connection as connection
from tests.unit.kit.events_on_postgres import consume_until, event
from tests.unit.kit.events_on_postgres import url as url


@pytest.fixture
async def departure(bus: PostgresBus, url: str) -> AsyncIterator[Departure]:
    departure = Departure(url)
    await departure.open()
    yield departure
    await departure.close()


async def count(connection: Connection) -> int:
    row = await (await connection.execute("SELECT count(*) AS events FROM log")).fetchone()
    return row["events"] if row else 0


async def test_a_closed_bus_takes_nothing(bus: PostgresBus, departure: Departure, connection: Connection):
    await departure.shut(is_shut=True)
    with pytest.raises(Unavailable, match="closed"):
        await bus.publish([event("a"), event("b")])

    assert await count(connection) == 0


async def test_a_bus_that_is_open_again_takes_events(bus: PostgresBus, departure: Departure):
    await departure.shut(is_shut=True)
    await departure.shut(is_shut=False)
    await bus.publish([event("a")])

    assert [each.key for each in await consume_until(bus, 1)] == ["a"]


async def test_a_closed_bus_is_worked_to_its_end(bus: PostgresBus, departure: Departure):
    await bus.publish([event("a")])
    await departure.shut(is_shut=True)

    assert [each.key for each in await consume_until(bus, 1)] == ["a"]


async def test_a_publisher_that_came_before_the_end_and_has_to_wait_is_refused(bus: PostgresBus, connection: Connection):
    await bus.publish([event("a")])
    connection.begin()
    await connection.execute("SELECT FROM partitions WHERE number = 1 FOR UPDATE")
    # Key b lives there, a does not; it may not come in alone.
    publishing = asyncio.create_task(bus.publish([event("a"), event("b")]))
    await waits_for_a_lock(connection)
    await connection.execute("UPDATE partitions SET is_closed = true WHERE number = 1")
    await connection.commit()

    with pytest.raises(Unavailable, match="closed"):
        await publishing
    assert await count(connection) == 1


async def waits_for_a_lock(connection: Connection) -> None:
    waiting = "SELECT count(*) AS waiting FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    while (row := await (await connection.execute(waiting)).fetchone()) is None or not row["waiting"]:
        await asyncio.sleep(0.005)


async def test_what_nobody_works_is_waited_for_by_nobody(bus: PostgresBus, departure: Departure):
    await bus.publish([event("a"), event("b")])
    await consume_until(bus, 2)
    await bus.publish([event("a")])

    assert await departure.waiting() == 0


async def test_what_a_group_is_at_work_on_is_waited_for(bus: PostgresBus, departure: Departure):
    at_work, go_on = asyncio.Event(), asyncio.Event()

    async def handle(events: Sequence[Event]) -> None:
        at_work.set()
        await go_on.wait()

    await bus.publish([event("a"), event("a")])
    consuming = asyncio.create_task(bus.consume(Subscription("orders", "ranking", handle)))
    await asyncio.wait_for(at_work.wait(), 10)

    assert await departure.waiting() == 2
    go_on.set()
    async with asyncio.timeout(10):
        while await departure.waiting():
            await asyncio.sleep(0.01)
    consuming.cancel()
    await asyncio.wait([consuming])
