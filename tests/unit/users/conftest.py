"""Users over a real socket, and its stores on a real database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bazaar.users.v1.users_service_pb2_grpc import UsersServiceStub
from services.kit.database import Database
from services.kit.events.postgres_bus import MIGRATIONS as EVENT_MIGRATIONS
from services.kit.migrations import KIT_MIGRATIONS, migrate
from services.users import SERVICE
from tests.serving import Client, serving


@pytest.fixture(scope="module")
async def users_url(module_database_url: str) -> str:
    assert SERVICE.migrations
    await migrate(module_database_url, [("kit", KIT_MIGRATIONS), ("users", SERVICE.migrations)])
    return module_database_url


@pytest.fixture
async def database(users_url: str) -> AsyncIterator[Database]:
    database = Database(users_url, max_connections=8)
    await database.open()
    yield database
    await database.close()


@pytest.fixture(scope="module")
def secrets_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("users-secrets")


@pytest.fixture(scope="module")
async def stub(users_url: str, postgres: Any, secrets_directory: Path, short_directory: Path) -> AsyncIterator[Any]:
    events_url = postgres.fresh_database()
    await migrate(events_url, [("events", EVENT_MIGRATIONS)])
    async with serving([SERVICE], secrets_directory, short_directory, database_url=users_url, events_url=events_url) as channel:
        yield UsersServiceStub(channel)


@pytest.fixture
def guest(stub: Any) -> Client:
    return Client(stub)
