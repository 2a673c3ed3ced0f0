from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.kit.database import Database
from services.kit.migrations import KIT_MIGRATIONS, migrate
from services.pricing import SERVICE


@pytest.fixture(scope="module")
async def migrated(module_database_url: str) -> AsyncIterator[Database]:
    assert isinstance(SERVICE.migrations, Path)
    await migrate(module_database_url, [("kit", KIT_MIGRATIONS), ("pricing", SERVICE.migrations)])
    database = Database(module_database_url)
    await database.open()
    yield database
    await database.close()


@pytest.fixture
async def database(migrated: Database) -> Database:
    """A new shop's tables: no prices, and nothing said of France."""
    async with migrated.transaction() as tx:
        await tx.execute("TRUNCATE prices, outbox")
        await tx.execute("DELETE FROM tax_rates WHERE country = 'FR'")
        await tx.execute("DELETE FROM shipping_rates WHERE country = 'FR'")
    return migrated
