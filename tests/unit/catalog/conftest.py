from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pymongo import AsyncMongoClient

from services import catalog
from services.kit.database import Database
from services.kit.migrations import KIT_MIGRATIONS, migrate
from services.kit.mongo import Document, open_mongo
from tests.unit.catalog.capturing import Capture
from tests.unit.catalog.sample import Stores

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
async def client(mongo_url: str) -> AsyncIterator[AsyncMongoClient[Document]]:
    opened = open_mongo(mongo_url)
    yield opened
    await opened.close()


@pytest.fixture
async def stores(client: AsyncMongoClient[Document]) -> Stores:
    made = Stores(client, f"catalog_test_{next(_numbers)}")
    await made.products.prepare()
    await made.categories.prepare()
    return made


@pytest.fixture
async def capture(stores: Stores, module_database_url: str) -> AsyncIterator[Capture]:
    """Of an empty catalogue, into an empty outbox."""
    folder = catalog.SERVICE.migrations
    assert isinstance(folder, Path)
    await migrate(module_database_url, [("kit", KIT_MIGRATIONS), ("catalog", folder)])
    database = Database(module_database_url)
    await database.open()
    async with database.connection() as connection:
        await connection.execute("TRUNCATE outbox, places")
    yield Capture(stores, database)
    await database.close()
