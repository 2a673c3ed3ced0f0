from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.kit.database import Database
from services.kit.migrations import KIT_MIGRATIONS, migrate
from services.search import SERVICE
from services.search.store import SearchStore


@pytest.fixture(scope="module")
async def migrated(module_database_url: str) -> AsyncIterator[Database]:
    assert isinstance(SERVICE.migrations, Path)
    await migrate(module_database_url, [("kit", KIT_MIGRATIONS), ("search", SERVICE.migrations)])
    database = Database(module_database_url)
    await database.open()
    yield database
    await database.close()


@pytest.fixture
async def database(migrated: Database) -> Database:
    """A shop that sells nothing yet."""
    async with migrated.transaction() as tx:
        await tx.execute("TRUNCATE products, offers")
        await tx.execute("UPDATE positions SET last = 0")
        await tx.execute("UPDATE generation SET wanted = 1, newest = 1, previous = NULL, is_filled = false")
    return migrated


@pytest.fixture
async def store(database: Database) -> SearchStore:
    return SearchStore(database)
