"""Rivals that meet at a row's lock: all get as far as they can, then the lock goes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

from services.kit.database import Database

_WAITING = "SELECT count(*) AS count FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


async def meet(database: Database, lock: str, values: list[Any], *rivals: Awaitable[Any]) -> list[Any]:
    """Starts the rivals while a row they all need is locked, lets them go once each waits for it; their results or errors, in order."""
    async with database.transaction() as tx:
        await tx.execute(lock, values)  # type: ignore[arg-type]
        tasks = await waiting(database, *rivals)
    return await asyncio.gather(*tasks, return_exceptions=True)


async def waiting(database: Database, *rivals: Awaitable[Any]) -> list[asyncio.Future[Any]]:
    """Starts the rivals; returns once each of them waits for a lock."""
    tasks = [asyncio.ensure_future(rival) for rival in rivals]
    async with database.connection() as connection, asyncio.timeout(10):
        while (row := await (await connection.execute(_WAITING)).fetchone()) and row["count"] < len(tasks):
            await asyncio.sleep(0.005)
    return tasks
