"""PostgreSQL behind a link that loses what it is given, without a word."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from psycopg.conninfo import make_conninfo

from services.kit import database as databases
from services.kit import patience
from services.kit.database import Database
from services.kit.errors import Unavailable
from services.kit.leader import Lease, lead
from services.kit.migrations import KIT_MIGRATIONS, migrate
from tests.conftest import TestPostgres
from tests.links import Link, Links


@pytest.fixture
def links(postgres: TestPostgres, folder: Path) -> Iterator[Links]:
    name = ".s.PGSQL.5432"
    with Links([Link("postgres", folder / name, postgres.sockets / name)]) as links:
        yield links


@pytest.fixture
def linked_url(links: Links, database_url: str, folder: Path) -> str:
    return make_conninfo(database_url, host=str(folder))


@pytest.fixture
async def database(linked_url: str) -> AsyncIterator[Database]:
    database = Database(linked_url, max_connections=1)
    await database.open()
    assert await answer(database) == 42
    yield database
    await database.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks after a statement soon."""
    monkeypatch.setattr(patience, "_PATIENCE_SECONDS", 0.3)


async def answer(database: Database, statement: str = "SELECT 42 AS answer") -> int:
    async with database.connection() as connection:
        row = await (await connection.execute(statement)).fetchone()
    assert row is not None
    return row["answer"]


@pytest.mark.usefixtures("impatient")
async def test_a_statement_on_a_connection_that_was_forgotten_fails_once_the_server_can_be_asked(database: Database, links: Links):
    links.silence("postgres")
    asking = asyncio.create_task(answer(database))
    await asyncio.wait([asking], timeout=1)
    assert not asking.done()
    links.heal("postgres")

    with pytest.raises(Unavailable, match="the database is away"):
        await asking
    assert await answer(database) == 42


@pytest.mark.usefixtures("impatient")
async def test_a_statement_that_the_server_works_on_may_take_its_time(database: Database):
    assert await answer(database, "SELECT 42 AS answer FROM pg_sleep(1.5)") == 42


async def test_a_connection_that_has_idled_is_tried_before_it_is_used(database: Database, links: Links, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(databases, "_TRUSTED_SECONDS", 0.0)
    links.silence("postgres")
    links.heal("postgres")

    assert await answer(database) == 42


async def test_a_caller_that_is_cancelled_does_not_wait_for_a_server_that_is_silent(database: Database, links: Links):
    links.silence("postgres")
    asking = asyncio.create_task(answer(database))
    await asyncio.sleep(0.1)
    cancelled_at = time.monotonic()
    asking.cancel()
    await asyncio.wait([asking])

    assert asking.cancelled()
    assert time.monotonic() - cancelled_at < 3


class Elections:
    """Contends for ever; the leases so far."""

    def __init__(self, url: str) -> None:
        self.leases: asyncio.Queue[Lease] = asyncio.Queue()
        self._task = asyncio.create_task(lead(url, "writer", self._work))

    async def _work(self, lease: Lease) -> None:
        self.leases.put_nowait(lease)
        await asyncio.Event().wait()

    async def epoch(self, seconds: float) -> int:
        """Of the next lease."""
        async with asyncio.timeout(seconds):
            return (await self.leases.get()).epoch

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])


@pytest.fixture
async def elections(linked_url: str) -> AsyncIterator[Elections]:
    await migrate(linked_url, [("kit", KIT_MIGRATIONS)])
    elections = Elections(linked_url)
    assert await elections.epoch(10) == 1
    yield elections
    await elections.stop()


async def test_a_leader_whose_session_was_forgotten_is_elected_again(elections: Elections, links: Links):
    links.silence("postgres")
    links.heal("postgres")

    assert await elections.epoch(20) == 2


async def test_a_leader_is_back_soon_however_long_its_database_was_away(elections: Elections, links: Links):
    links.cut("postgres")
    await asyncio.sleep(8)
    links.heal("postgres")

    assert await elections.epoch(2.5) == 2
