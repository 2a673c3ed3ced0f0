"""How long the bus in PostgreSQL keeps events."""

from datetime import UTC, datetime, timedelta

from services.kit.database import Connection, Database
from services.kit.events.postgres_bus import PostgresBus
from services.kit.events.retention import sweep
from tests.unit.kit.events_on_postgres import NOW, consume_until, event
from tests.unit.kit.events_on_postgres import bus as bus
from tests.unit.kit.events_on_postgres import connection as connection
from tests.unit.kit.events_on_postgres import url as url


async def test_the_log_has_a_table_for_today_and_three_days_ahead(url: str, connection: Connection):
    database = Database(url)
    await database.open()

    await sweep(database, lambda: NOW)

    assert await _days(connection) == ["log_20250310", "log_20250311", "log_20250312", "log_20250313"]
    await database.close()


async def test_days_past_every_topics_retention_are_dropped(bus: PostgresBus, url: str, connection: Connection):
    database = Database(url)
    await database.open()
    await sweep(database, lambda: NOW - timedelta(days=20))
    await sweep(database, lambda: NOW - timedelta(days=7))

    await sweep(database, lambda: NOW)

    assert (await _days(connection))[0] == "log_20250303"
    await database.close()


async def test_a_group_goes_on_behind_what_retention_dropped(bus: PostgresBus, url: str, connection: Connection):
    await bus.publish([event(version=1), event(version=2)])
    database = Database(url)
    await database.open()
    await sweep(database, lambda: datetime.now(UTC) + timedelta(days=9))
    assert [part.waiting for part in await bus.depth("ranking")] == []
    await connection.execute(
        "CREATE TABLE log_today PARTITION OF log FOR VALUES FROM ({}) TO ({})".format(
            *(f"'{datetime.now(UTC) + timedelta(days=days):%Y-%m-%d} 00:00:00+00'" for days in (0, 1))
        ).encode()
    )
    await bus.publish([event(version=3)])

    seen = await consume_until(bus, 1)

    assert [event.aggregate_version for event in seen] == [3]
    await database.close()


async def _days(connection: Connection) -> list[str]:
    rows = await (await connection.execute("SELECT inhrelid::regclass::text AS name FROM pg_inherits ORDER BY 1")).fetchall()
    return sorted(row["name"] for row in rows if row["name"].startswith("log_") and not row["name"].endswith("_pkey"))
