from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from services import payments
from services.kit.database import Database
from services.kit.migrations import KIT_MIGRATIONS, migrate
from services.kit.secrets import Secrets
from tests.sandbox import Door, SandboxClient, running_sandbox
from tools.secrets import make_missing


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


@dataclass(frozen=True)
class Counter:
    """A gateway's process and all that a test needs to stand on both sides of it."""

    client: SandboxClient
    door: Door
    secrets: Secrets
    url: str
    folder: Path


@pytest.fixture(scope="session")
def counter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counter]:
    folder = tmp_path_factory.mktemp("gateway")
    make_missing(folder)
    door = Door()
    with running_sandbox(folder, folder, door.url) as (server, client):
        yield Counter(client, door, Secrets(folder), server.url, folder)
    door.close()
