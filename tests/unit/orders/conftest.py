from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services import orders
from services.kit.database import Database
from services.kit.migrations import KIT_MIGRATIONS, migrate
from services.orders.events import announcements
from services.orders.model import Order
from services.orders.requests import RequestStore
from services.orders.store import OrderStore
from tests.unit.orders.steps import new


@pytest.fixture
async def database(module_database_url: str) -> AsyncIterator[Database]:
    """Orders' database, empty."""
    folder = orders.SERVICE.migrations
    assert isinstance(folder, Path)
    await migrate(module_database_url, [("kit", KIT_MIGRATIONS), ("orders", folder)])
    database = Database(module_database_url)
    await database.open()
    async with database.connection() as connection:
        await connection.execute("TRUNCATE orders, order_contents, order_requests, outbox")
    yield database
    await database.close()


@pytest.fixture
def requests(database: Database) -> RequestStore:
    return RequestStore(database)


@pytest.fixture
def store(database: Database) -> OrderStore:
    return OrderStore(database, announcements)


@pytest.fixture
async def order(requests: RequestStore) -> Order:
    """An order that is opened, and hidden still."""
    return await new(requests)


@pytest.fixture
async def other(database: Database) -> AsyncIterator[OrderStore]:
    """The same in another process."""
    elsewhere = Database(database.url)
    await elsewhere.open()
    yield OrderStore(elsewhere, announcements)
    await elsewhere.close()
