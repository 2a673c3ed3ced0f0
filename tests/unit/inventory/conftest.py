from collections.abc import AsyncIterator

import pytest

from services.kit.database import Database
from tests.stock import Inventory, migrated


@pytest.fixture
async def shelf(database_url: str) -> AsyncIterator[Inventory]:
    """Inventory on an empty database."""
    database = Database(await migrated(database_url))
    await database.open()
    yield Inventory(database)
    await database.close()
