"""The log's days: made ahead of time, dropped when every topic is done with them.

Any process may do this work, no leader is needed: each sweep is one transaction under an advisory lock of its own, and a second one finds
nothing left to do.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from math import ceil

from psycopg import sql

from services.kit.clock import Clock
from services.kit.database import Connection, Database

SWEEP_EVERY = timedelta(hours=1)
DEAD_LETTERS_KEPT = timedelta(days=90)

_DAYS_AHEAD = 3
_LOCK = 0x6C6F67
_MAKE_DAY = sql.SQL("CREATE TABLE {day} PARTITION OF log FOR VALUES FROM ({start}) TO ({end})")
_LOG_DAYS = "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'log'::regclass"
_LONGEST_RETENTION = "SELECT max(retention) AS longest FROM topics"
_RAISE_FLOORS = sql.SQL("""
    UPDATE partitions SET floor = greatest(floor, dropped.newest)
    FROM (SELECT partition_id, max(position) AS newest FROM {day} GROUP BY partition_id) AS dropped
    WHERE partitions.id = dropped.partition_id
""")


def day_table(day: date) -> str:
    """Name of the table that holds a day's events (UTC)."""
    return f"log_{day:%Y%m%d}"


async def sweep(database: Database, clock: Clock) -> None:
    """Makes the tables of the days to come, drops what is past its retention. A rival's sweep is waited for."""
    today = clock().date()
    async with database.transaction() as tx:
        # Making or dropping a day locks the whole log for a moment; rather try again than hold up publishers behind a slow reader.
        await tx.execute("SET LOCAL lock_timeout = '2s'")
        await tx.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        existing = {row["name"] for row in await (await tx.execute(_LOG_DAYS)).fetchall()}
        await _make_days(tx, today, existing)
        await _drop_days(tx, today, existing)
        await tx.execute("DELETE FROM failures WHERE died_at < now() - %s", (DEAD_LETTERS_KEPT,))
        await tx.execute("DELETE FROM members WHERE expires_at < now() - interval '1 day'")


async def _make_days(tx: Connection, today: date, existing: set[str]) -> None:
    for day in (today + timedelta(days=ahead) for ahead in range(_DAYS_AHEAD + 1)):
        if day_table(day) not in existing:
            start, end = _midnight(day), _midnight(day + timedelta(days=1))
            await tx.execute(_MAKE_DAY.format(day=sql.Identifier(day_table(day)), start=sql.Literal(start), end=sql.Literal(end)))


async def _drop_days(tx: Connection, today: date, existing: set[str]) -> None:
    row = await (await tx.execute(_LONGEST_RETENTION)).fetchone()
    if row is None or row["longest"] is None:
        return
    oldest_kept = day_table(today - timedelta(days=ceil(row["longest"] / timedelta(days=1))))
    for name in sorted(name for name in existing if name < oldest_kept):
        day = sql.Identifier(name)
        await tx.execute(_RAISE_FLOORS.format(day=day))
        await tx.execute(sql.SQL("DROP TABLE {day}").format(day=day))


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
