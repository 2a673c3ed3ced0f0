"""Versions of the ranking in PostgreSQL: the live one, and the one that is being built beside it."""

from __future__ import annotations

from datetime import timedelta

from psycopg import sql

from services.kit.database import Connection, Database
from services.ranking.model import RebuildInProgress


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
        """Begins a version beside the live one; from now on, lines are added to both.

        Raises:
            RebuildInProgress: one is open, and not for so long that whoever built it must have died.
        """
        async with self._database.transaction() as tx:
            row = await (
                await tx.execute(
                    "SELECT live, building, building_since < now() - %s AS is_abandoned FROM generation FOR UPDATE", [abandoned_after]
                )
            ).fetchone()
            assert row is not None
            if row["building"] and not row["is_abandoned"]:
                raise RebuildInProgress("The ranking is being rebuilt already.", generation=str(row["building"]))
            if row["building"]:
                await _drop(tx, row["building"])
            new = max(row["live"], row["building"] or 0) + 1
            table = sql.Identifier(f"lines_{new}")
            await tx.execute(sql.SQL("CREATE TABLE {} PARTITION OF lines FOR VALUES IN ({})").format(table, sql.Literal(new)))
            await tx.execute("UPDATE generation SET building = %s, building_since = now()", [new])
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

    async def flip(self, generation: int) -> int:
        """Flips to the version that was built; returns the one that was live before."""
        async with self._database.transaction() as tx:
            row = await (await tx.execute("SELECT live, building FROM generation FOR UPDATE")).fetchone()
            assert row is not None
            if row["building"] != generation:
                raise RebuildInProgress("Another rebuild has taken over.", generation=str(generation))
            await tx.execute("UPDATE generation SET live = building, building = NULL, building_since = NULL")
            return row["live"]

    async def drop(self, generation: int) -> None:
        """Deletes a version that no longer answers."""
        async with self._database.transaction() as tx:
            await _drop(tx, generation)


async def _drop(tx: Connection, generation: int) -> None:
    for table in ("roots", "rolled", "hours", "totals"):
        await tx.execute(sql.SQL("DELETE FROM {} WHERE generation = %s").format(sql.Identifier(table)), [generation])
    await tx.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(f"lines_{generation}")))
