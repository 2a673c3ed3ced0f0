from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services import payments
from services.kit.database import Database
from services.kit.migrations import KIT_MIGRATIONS, migrate


@pytest.fixture
async def database(module_database_url: str) -> AsyncIterator[Database]:
    """Payments' database, empty."""
    folder = payments.SERVICE.migrations
    assert isinstance(folder, Path)
    await migrate(module_database_url, [("kit", KIT_MIGRATIONS), ("payments", folder)])
    database = Database(module_database_url)
    await database.open()
    async with database.connection() as connection:
        await connection.execute("TRUNCATE payments, outbox")
    yield database
    await database.close()
