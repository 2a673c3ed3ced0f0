from __future__ import annotations

import itertools
from collections.abc import AsyncIterator

import pytest
from pymongo import AsyncMongoClient

from services.kit.mongo import Document, open_mongo
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
