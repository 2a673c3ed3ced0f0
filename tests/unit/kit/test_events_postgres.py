"""What is particular to the bus in PostgreSQL; what every bus does is in tests/contract."""

import asyncio
from collections.abc import Sequence

import psycopg
import pytest

from services.kit.database import Connection, Database
from services.kit.errors import Unavailable
from services.kit.events import event_bus
from services.kit.events.leases import Leases, Standing
from services.kit.events.log import partition_of
from services.kit.events.port import Event, Subscription, Topic
from services.kit.events.postgres_bus import PostgresBus
from services.kit.events.progress import Progress
from services.kit.telemetry import tracing
from tests.spans import recorded
from tests.unit.kit.events_on_postgres import WEEK, event
from tests.unit.kit.events_on_postgres import bus as bus
from tests.unit.kit.events_on_postgres import connection as connection
from tests.unit.kit.events_on_postgres import url as url


async def held(connection: Connection, leases: Leases) -> int:
    row = await (await connection.execute("SELECT count(*) AS held FROM leases WHERE owner = %s", (leases.member,))).fetchone()
    return row["held"] if row else 0


async def look(connection: Connection, leases: Leases, groups: Sequence[tuple[str, str]] = (("ranking", "orders"),)) -> None:
    """One look at the groups, as a member's heartbeat does it, with nothing in hand."""
    await leases.beat(connection, groups)
    standings = await leases.survey(connection, groups)
    for standing in standings:
        if standing.wanted < 0:
            await leases.release(connection, standing.group, standing.topic, -standing.wanted, ())
    await leases.claim(connection, [standing for standing in standings if standing.wanted > 0])


def test_a_key_lives_in_the_same_partition_for_ever():
    assert [partition_of(key, 8) for key in ("a", "b", "order-1", "é")] == [3, 1, 7, 6]


def test_an_unknown_scheme_has_no_bus():
    with pytest.raises(ValueError, match="kafka://"):
        event_bus("kafka://localhost")


async def test_positions_have_no_gaps_under_concurrent_publishers(bus: PostgresBus, connection: Connection):
    await asyncio.gather(*(bus.publish([event("k", version) for version in range(3)]) for _ in range(20)))

    rows = await (await connection.execute("SELECT position FROM log ORDER BY position")).fetchall()
    assert [row["position"] for row in rows] == list(range(1, 61))


async def test_eight_partitions_fall_to_three_members_as_three_three_two(bus: PostgresBus, connection: Connection):
    members = [Leases(name) for name in ("a", "b", "c")]

    for member in members * 3:
        await look(connection, member)

    assert sorted([await held(connection, member) for member in members]) == [2, 3, 3]


async def test_what_does_not_divide_evenly_falls_to_different_members_in_different_groups(bus: PostgresBus, connection: Connection):
    await bus.declare([Topic("single", partitions=1)])
    groups = [(f"group-{n}", "single") for n in range(30)]
    members = [Leases(name) for name in ("a", "b")]

    for member in members * 3:
        await look(connection, member, groups)

    assert all([await held(connection, member) > 3 for member in members])


async def test_a_busy_partition_is_not_released(bus: PostgresBus, connection: Connection):
    leases = Leases("a")
    await look(connection, leases)
    ids = [row["id"] for row in await (await connection.execute("SELECT id FROM partitions ORDER BY id")).fetchall()]

    await leases.release(connection, "ranking", "orders", 8, ids[:3])

    assert await held(connection, leases) == 3


async def test_a_silent_members_partitions_are_free_after_its_lease(bus: PostgresBus, connection: Connection):
    silent, alive = Leases("silent"), Leases("alive")
    await look(connection, silent)
    await connection.execute("UPDATE members SET expires_at = now() WHERE id = %s", (silent.member,))

    await look(connection, alive)

    assert (await held(connection, silent), await held(connection, alive)) == (0, 8)


async def test_an_ack_under_an_old_epoch_moves_nothing(bus: PostgresBus, url: str, connection: Connection):
    database = Database(url)
    await database.open()
    stale, current = Leases("stale"), Leases("current")
    await look(connection, stale)
    await bus.publish([event()])
    progress = Progress(database, stale.member, "ranking", "orders", [WEEK])
    entries = await progress.next_entries(10)
    await connection.execute("UPDATE members SET expires_at = now() WHERE id = %s", (stale.member,))
    await look(connection, current)

    await progress.ack(entries, {0: "ValueError: late"})

    assert sum(part.waiting for part in await bus.depth("ranking")) == 1
    assert sum(part.retrying for part in await bus.depth("ranking")) == 0
    await database.close()


async def test_what_a_member_stopped_consuming_is_given_back_by_its_next_beat(bus: PostgresBus, connection: Connection):
    leases = Leases("a")
    await look(connection, leases, [("ranking", "orders"), ("shipping", "orders")])

    await leases.beat(connection, [("shipping", "orders")])

    rows = await (await connection.execute("SELECT group_name, count(owner) AS held FROM leases GROUP BY 1 ORDER BY 1")).fetchall()
    assert [(row["group_name"], row["held"]) for row in rows] == [("ranking", 0), ("shipping", 8)]


async def _published(bus: PostgresBus, of: Event) -> None:
    """As the relay does it: a connection that the server is closing just now fails one attempt, not the event."""
    while True:
        try:
            return await bus.publish([of])
        except Unavailable:
            await asyncio.sleep(0)


async def test_a_consumer_outlives_its_connections(bus: PostgresBus, url: str):
    seen: list[int] = []
    arrived = asyncio.Event()

    async def handle(events: Sequence[Event]) -> None:
        seen.extend(event.aggregate_version for event in events)
        arrived.set()

    consuming = asyncio.create_task(bus.consume(Subscription("orders", "ranking", handle)))
    await bus.publish([event(version=1)])
    await asyncio.wait_for(arrived.wait(), 10)
    arrived.clear()
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as killer:
        await killer.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )

    await _published(bus, event(version=2))
    await asyncio.wait_for(arrived.wait(), 10)

    assert seen[-1] == 2
    consuming.cancel()
    await asyncio.wait([consuming])


async def test_a_heartbeat_outlives_whatever_happens(bus: PostgresBus, monkeypatch: pytest.MonkeyPatch):
    async def fail(*_: object) -> list[Standing]:
        failed.set()
        raise Unavailable("too late")

    failed, arrived = asyncio.Event(), asyncio.Event()

    async def handle(events: Sequence[Event]) -> None:
        arrived.set()

    with monkeypatch.context() as once:
        once.setattr(Leases, "survey", fail)
        consuming = asyncio.create_task(bus.consume(Subscription("orders", "ranking", handle)))
        await asyncio.wait_for(failed.wait(), 10)
    await bus.publish([event()])
    await asyncio.wait_for(arrived.wait(), 10)

    consuming.cancel()
    await asyncio.wait([consuming])


async def test_twenty_consumers_share_six_connections(bus: PostgresBus, url: str, connection: Connection):
    done: set[str] = set()

    def handler(group: str):
        async def handle(events: Sequence[Event]) -> None:
            done.add(group)

        return handle

    consuming = [asyncio.create_task(bus.consume(Subscription("orders", f"g{n}", handler(f"g{n}")))) for n in range(20)]
    await asyncio.gather(*(bus.publish([event(f"k{n}")]) for n in range(10)))
    async with asyncio.timeout(10):
        while len(done) < 20:
            await asyncio.sleep(0.005)

    row = await (
        await connection.execute(
            "SELECT count(*) AS used FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    ).fetchone()
    assert row
    assert row["used"] <= 6
    for task in consuming:
        task.cancel()
    await asyncio.wait(consuming)


async def test_publishing_is_a_span_in_the_events_own_trace(bus: PostgresBus):
    with recorded() as spans:
        with tracing.span("place order"):
            traceparent = tracing.current_traceparent()
        await bus.publish([event(traceparent=traceparent), event()])

        assert spans.parent_of("publish orders") == "place order"
