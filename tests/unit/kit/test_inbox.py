import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.kit import inbox
from services.kit.database import Database
from services.kit.events.port import Event
from services.kit.migrations import KIT_MIGRATIONS, migrate

TODAY = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    await migrate(database_url, [("kit", KIT_MIGRATIONS)])
    database = Database(database_url)
    await database.open()
    yield database
    await database.close()


def event(number: int, at: datetime = TODAY) -> Event:
    """An event whose id, a UUIDv7, holds its time."""
    milliseconds = f"{int(at.timestamp() * 1000):012x}"
    event_id = f"{milliseconds[:8]}-{milliseconds[8:]}-7000-8000-{number:012x}"
    return Event(event_id, "orders", "k", "t", "s", 1, b"", "orders", at, "")


async def see(database: Database, group: str, *events: Event) -> list[Event]:
    async with database.transaction() as tx:
        return await inbox.unseen(tx, group, events)


async def partitions(database: Database) -> dict[str, int]:
    """Rows of each partition."""
    async with database.connection() as connection:
        existing = await connection.execute("SELECT relid::text AS name FROM pg_partition_tree('inbox') WHERE isleaf")
        names = [row["name"] for row in await existing.fetchall()]
        counted = await connection.execute("SELECT tableoid::regclass::text AS name, count(*) AS rows FROM inbox GROUP BY 1")
        return dict.fromkeys(names, 0) | {row["name"]: row["rows"] for row in await counted.fetchall()}


async def test_new_events_are_returned_in_their_order(database: Database):
    assert await see(database, "ranking", event(2), event(1), event(3)) == [event(2), event(1), event(3)]


async def test_seen_events_are_passed_over(database: Database):
    await see(database, "ranking", event(1), event(2))

    assert await see(database, "ranking", event(2), event(3)) == [event(3)]


async def test_each_group_sees_for_itself(database: Database):
    await see(database, "ranking", event(1))

    assert await see(database, "shipping", event(1)) == [event(1)]


async def test_an_event_that_is_twice_in_a_batch_is_returned_once(database: Database):
    assert await see(database, "ranking", event(1), event(2), event(1)) == [event(1), event(2)]


async def test_no_events_need_no_statement(database: Database):
    assert await see(database, "ranking") == []


async def test_events_whose_work_rolled_back_are_new_again(database: Database):
    async def fail() -> None:
        async with database.transaction() as tx:
            await inbox.unseen(tx, "ranking", [event(1)])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()

    assert await see(database, "ranking", event(1)) == [event(1)]


async def test_a_rival_with_the_same_event_waits_and_passes_it_over(database: Database):
    async with database.transaction() as tx:
        assert await inbox.unseen(tx, "ranking", [event(1)]) == [event(1)]
        rival = asyncio.create_task(see(database, "ranking", event(1), event(2)))
        await until_somebody_waits(database)

    assert await rival == [event(2)]


async def until_somebody_waits(database: Database) -> None:
    async with database.connection() as connection:
        while not await (await connection.execute("SELECT pid FROM pg_locks WHERE NOT granted")).fetchone():
            await asyncio.sleep(0.01)


async def test_today_and_the_coming_days_get_partitions(database: Database):
    await inbox.keep_days(database, TODAY)

    assert sorted(await partitions(database)) == [
        "inbox_2026_01_31",
        "inbox_2026_02_01",
        "inbox_2026_02_02",
        "inbox_2026_02_03",
        "inbox_other_days",
    ]


async def test_an_event_is_kept_in_the_partition_of_its_own_day(database: Database):
    await inbox.keep_days(database, TODAY)
    midnight = datetime(2026, 2, 1, tzinfo=UTC)
    await see(database, "ranking", event(1, midnight - timedelta(milliseconds=1)), event(2, midnight), event(3, TODAY - timedelta(days=30)))

    assert {name: rows for name, rows in (await partitions(database)).items() if rows} == {
        "inbox_2026_01_31": 1,
        "inbox_2026_02_01": 1,
        "inbox_other_days": 1,
    }


async def test_events_that_came_before_their_days_partition_move_into_it(database: Database):
    await see(database, "ranking", event(1))
    assert await partitions(database) == {"inbox_other_days": 1}
    await inbox.keep_days(database, TODAY)

    assert (await partitions(database))["inbox_2026_01_31"] == 1
    assert await see(database, "ranking", event(1)) == []


async def test_days_older_than_14_are_dropped(database: Database):
    await inbox.keep_days(database, TODAY)
    await inbox.keep_days(database, TODAY + timedelta(days=15))

    assert sorted(await partitions(database)) == [
        "inbox_2026_02_01",
        "inbox_2026_02_02",
        "inbox_2026_02_03",
        "inbox_2026_02_15",
        "inbox_2026_02_16",
        "inbox_2026_02_17",
        "inbox_2026_02_18",
        "inbox_other_days",
    ]


async def test_a_forced_replay_of_an_older_event_is_remembered_for_14_days(database: Database):
    old = event(1, TODAY - timedelta(days=30))
    await see(database, "ranking", old)
    now = datetime.now(UTC)
    await inbox.keep_days(database, now + timedelta(days=13))
    assert await see(database, "ranking", old) == []
    await inbox.keep_days(database, now + timedelta(days=15))

    assert await see(database, "ranking", old) == [replace(old)]


async def test_keeping_days_twice_changes_nothing(database: Database):
    await inbox.keep_days(database, TODAY)
    before = await partitions(database)
    await inbox.keep_days(database, TODAY)

    assert await partitions(database) == before
