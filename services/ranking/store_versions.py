"""Versions of the ranking in PostgreSQL: the live one, and the one that is being built beside it.

Each has a partition of `lines`. Adding lines and changing versions exclude each other by the lock on the one row of `generation`, which
everybody takes first.
"""

from __future__ import annotations

from datetime import timedelta

from psycopg import sql

from services.kit.database import Connection, Database
from services.ranking.model import RebuildInProgress

_LOCK = "SELECT live, building, newest, building_since < now() - %s AS is_abandoned FROM generation FOR UPDATE"
_PARTITIONS = """
SELECT split_part(c.relname, '_', 2)::bigint AS generation FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'lines'::regclass ORDER BY 1
"""


class VersionStore:
    """Opens, flips and drops versions; lines are added to every version that is open."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def live(self) -> int:
        """The version that answers."""
        async with self._database.connection() as connection:
            row = await (await connection.execute("SELECT live FROM generation")).fetchone()
            assert row is not None
            return row["live"]

    async def open(self, abandoned_after: timedelta) -> int:
        """Begins a version beside the live one; from now on, lines are added to both. What a dead rebuild left behind is dropped.

        Raises:
            RebuildInProgress: one is open, and not for so long that whoever built it must have died.
        """
        async with self._database.transaction() as tx:
            row = await (await tx.execute(_LOCK, [abandoned_after])).fetchone()
            assert row is not None
            if row["building"] and not row["is_abandoned"]:
                raise RebuildInProgress("The ranking is being rebuilt already.", generation=str(row["building"]))
            for generation in await _partitions(tx):
                if generation != row["live"]:
                    await _drop(tx, generation)
            new = row["newest"] + 1
            table = sql.Identifier(f"lines_{new}")
            await tx.execute(sql.SQL("CREATE TABLE {} PARTITION OF lines FOR VALUES IN ({})").format(table, sql.Literal(new)))
            await tx.execute("UPDATE generation SET building = %s, newest = %s, building_since = now()", [new, new])
            return new

    async def still_building(self, generation: int) -> None:
        """Says that the rebuild is alive.

        Raises:
            RebuildInProgress: another one has taken over.
        """
        async with self._database.connection() as connection:
            done = await connection.execute("UPDATE generation SET building_since = now() WHERE building = %s", [generation])
        if not done.rowcount:
            raise RebuildInProgress("Another rebuild has taken over.", generation=str(generation))

    async def flip(self, generation: int) -> None:
        """Makes the version that was built the live one.

        Raises:
            RebuildInProgress: another rebuild has taken over.
        """
        async with self._database.connection() as connection:
            done = await connection.execute(
                "UPDATE generation SET live = building, building = NULL, building_since = NULL WHERE building = %s", [generation]
            )
        if not done.rowcount:
            raise RebuildInProgress("Another rebuild has taken over.", generation=str(generation))

    async def give_up(self, generation: int) -> None:
        """Drops the version that was being built."""
        async with self._database.transaction() as tx:
            row = await (await tx.execute(_LOCK, [timedelta()])).fetchone()
            if row and row["building"] == generation:
                await tx.execute("UPDATE generation SET building = NULL, building_since = NULL")
                await _drop(tx, generation)

    async def drop_others(self) -> list[int]:
        """Deletes versions that no longer answer; returns those that are left."""
        async with self._database.transaction() as tx:
            row = await (await tx.execute(_LOCK, [timedelta()])).fetchone()
            assert row is not None
            kept = [generation for generation in (row["live"], row["building"]) if generation]
            for generation in await _partitions(tx):
                if generation not in kept:
                    await _drop(tx, generation)
            return kept


async def _partitions(tx: Connection) -> list[int]:
    return [row["generation"] for row in await (await tx.execute(_PARTITIONS)).fetchall()]


async def _drop(tx: Connection, generation: int) -> None:
    # `roots` first: a roll-up holds on to its root's row.
    for table in ("roots", "rolled", "hours", "totals"):
        await tx.execute(sql.SQL("DELETE FROM {} WHERE generation = %s").format(sql.Identifier(table)), [generation])
    await tx.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(f"lines_{generation}")))
