"""Which events a group has worked off already, so that a redelivery does nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

from psycopg import sql

from services.kit.database import Connection, Database
from services.kit.events.port import REPLAY_AGE, Event

DAYS_AHEAD = 3
"""Partitions made before their day comes; a day without one goes to the partition of other days."""

_NOTE = """
INSERT INTO inbox (event_id, group_name)
SELECT id, %s FROM unnest(%s::uuid[]) AS id ORDER BY id
ON CONFLICT DO NOTHING RETURNING event_id
"""
_PARTITIONS = """
SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
WHERE inhparent = 'inbox'::regclass AND relname <> 'inbox_other_days'
"""
_ADD_DAY = """
SET LOCAL lock_timeout = '2s';
LOCK TABLE inbox_other_days IN ACCESS EXCLUSIVE MODE;
CREATE TABLE {partition} (LIKE inbox INCLUDING ALL);
WITH moved AS (DELETE FROM inbox_other_days WHERE event_id >= {first} AND event_id < {end} RETURNING *)
INSERT INTO {partition} SELECT * FROM moved;
ALTER TABLE inbox ATTACH PARTITION {partition} FOR VALUES FROM ({first}) TO ({end});
"""
_DROP_DAY = "SET LOCAL lock_timeout = '2s'; DROP TABLE {partition};"
_FORGET_OTHER_DAYS = "DELETE FROM inbox_other_days WHERE seen_at < %s"


async def unseen(tx: Connection, group: str, events: Sequence[Event]) -> list[Event]:
    """Notes the events for the group and returns those that are new, in their order and each once.

    Do their work in the same transaction. A rival with one of these events waits here until it ends.
    """
    if not events:
        return []
    cursor = await tx.execute(_NOTE, [group, [event.id for event in events]])
    new = {row["event_id"]: None for row in await cursor.fetchall()}
    return [event for event in events if new.pop(event.id, event) is None]


async def keep_days(database: Database, now: datetime) -> None:
    """Makes the partitions of today and the coming days, and drops those older than 14 days. For a leader, hourly.

    Raises:
        psycopg.errors.LockNotAvailable: consumers held the table for 2 seconds; what is missing is done by the next call.
    """
    today = now.astimezone(UTC).date()
    wanted = [today + timedelta(days=ahead) for ahead in range(DAYS_AHEAD + 1)]
    oldest = _partition_of(today - REPLAY_AGE)
    async with database.connection() as connection:
        existing = {row["relname"] for row in await (await connection.execute(_PARTITIONS)).fetchall()}
        await connection.execute(_FORGET_OTHER_DAYS, [now - REPLAY_AGE])
    for day in wanted:
        if _partition_of(day) not in existing:
            await _add(database, day)
    for partition in sorted(name for name in existing if name < oldest):
        async with database.transaction() as tx:
            await tx.script(sql.SQL(_DROP_DAY).format(partition=sql.Identifier(partition)))


async def _add(database: Database, day: date) -> None:
    async with database.transaction() as tx:
        await tx.script(
            sql.SQL(_ADD_DAY).format(
                partition=sql.Identifier(_partition_of(day)),
                first=sql.Literal(_first_id_of(day)),
                end=sql.Literal(_first_id_of(day + timedelta(days=1))),
            )
        )


def _partition_of(day: date) -> str:
    return f"inbox_{day:%Y_%m_%d}"


def _first_id_of(day: date) -> str:
    """The lowest id that a UUIDv7 of this day (UTC) may have."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    digits = f"{int(midnight.timestamp()) * 1000:012x}"
    return f"{digits[:8]}-{digits[8:]}-0000-0000-000000000000"
