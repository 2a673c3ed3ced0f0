from collections.abc import AsyncIterator

import pytest

from services.kit.database import Database
from tests.stock import Inventory, migrated

_EMPTY = "TRUNCATE outbox, balances, holds, reservations, ledger, idempotency_keys"


@pytest.fixture
async def shelf(module_database_url: str) -> AsyncIterator[Inventory]:
    """Inventory without any stock, in its module's database."""
    database = Database(await migrated(module_database_url))
    await database.open()
    shelf = Inventory(database)
    # As a replica, because the ledger's trigger refuses to be emptied.
    await shelf.execute(f"SET session_replication_role = replica; {_EMPTY}; SET session_replication_role = DEFAULT")
    yield shelf
    await database.close()
