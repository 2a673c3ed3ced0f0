"""A database with something in it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.kit.database import Database


@asynccontextmanager
async def pens_in(url: str) -> AsyncIterator[Database]:
    """An open database with a red pen and a blue one."""
    database = Database(url)
    await database.open()
    async with database.connection() as connection:
        await connection.execute("CREATE TABLE pens (id int PRIMARY KEY, colour text)")
        await connection.execute("INSERT INTO pens VALUES (1, 'red'), (2, 'blue')")
    yield database
    await database.close()


async def colours(database: Database) -> list[str]:
    """What colours the pens have."""
    async with database.connection() as connection:
        return [row["colour"] for row in await (await connection.execute("SELECT colour FROM pens ORDER BY id")).fetchall()]
