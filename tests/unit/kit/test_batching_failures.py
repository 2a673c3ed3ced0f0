"""What fails in a batch: one item, the work itself, the database."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import psycopg

from services.kit.batching import Coalescer
from services.kit.database import Database
from services.kit.errors import Unavailable
from tests.conftest import TestPostgres


async def test_one_poison_item_among_100_gets_the_exception_alone():
    runs: list[int] = []

    async def work(items: Sequence[int]) -> list[int]:
        runs.append(len(items))
        if 37 in items:
            raise ZeroDivisionError
        return [item * 2 for item in items]

    coalescer = Coalescer("test", work)
    outcomes = await asyncio.gather(*[coalescer.submit(number) for number in range(100)], return_exceptions=True)

    assert [number for number, outcome in enumerate(outcomes) if isinstance(outcome, ZeroDivisionError)] == [37]
    assert [outcome for outcome in outcomes if isinstance(outcome, int)] == [number * 2 for number in range(100) if number != 37]
    assert runs == [100, 50, 25, 25, 12, 13, 6, 3, 1, 2, 3, 7, 50]


async def test_halves_run_in_the_order_of_arrival():
    decided: list[int] = []

    async def work(items: Sequence[int]) -> list[int]:
        if 0 in items and len(items) > 1:
            raise ZeroDivisionError
        decided.extend(items)
        return list(items)

    coalescer = Coalescer("test", work)
    await asyncio.gather(*[coalescer.submit(number) for number in range(8)])

    assert decided == list(range(8))


class LosesTheAnswerToCommit:
    """Stands between a client and PostgreSQL; the first COMMIT reaches the server and its answer never comes back."""

    def __init__(self, server: Path) -> None:
        self._server = server
        self._has_lost_one = False

    async def __call__(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_unix_connection(self._server)
        answers = asyncio.create_task(self._forward(server, to_client))
        while data := await client.read(65536):
            is_lost = not self._has_lost_one and b"COMMIT" in data
            if is_lost:
                self._has_lost_one = True
                answers.cancel()
                await asyncio.wait([answers])
            to_server.write(data)
            if is_lost:
                assert b"COMMIT" in await server.read(65536)
                break
        to_server.close()
        to_client.close()

    @staticmethod
    async def _forward(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            target.write(data)


async def test_after_a_connection_lost_at_commit_the_second_run_finds_by_key_what_the_first_one_did(
    postgres: TestPostgres, database_url: str, short_directory: Path
):
    proxied = short_directory / "proxy"
    proxied.mkdir()
    proxy = await asyncio.start_unix_server(LosesTheAnswerToCommit(postgres.sockets / ".s.PGSQL.5432"), proxied / ".s.PGSQL.5432")
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE decided (item text PRIMARY KEY, run int)")
    database = Database(database_url.replace(str(postgres.sockets), str(proxied)))
    await database.open()
    runs = 0

    async def work(items: Sequence[str]) -> list[int]:
        nonlocal runs
        runs += 1
        async with database.transaction() as tx:
            await tx.execute(
                "INSERT INTO decided SELECT item, %s FROM unnest(%s::text[]) AS item ON CONFLICT DO NOTHING", [runs, list(items)]
            )
            rows = await (await tx.execute("SELECT item, run FROM decided")).fetchall()
        return [{row["item"]: row["run"] for row in rows}[item] for item in items]

    coalescer = Coalescer("test", work)

    assert await asyncio.gather(coalescer.submit("a"), coalescer.submit("b")) == [1, 1]
    assert runs == 2
    await database.close()
    proxy.close()


async def test_when_the_database_stays_away_everybody_is_told_after_two_runs_and_nothing_is_halved():
    runs: list[int] = []

    async def work(items: Sequence[int]) -> list[int]:
        runs.append(len(items))
        raise Unavailable("the database is away")

    coalescer = Coalescer("test", work)
    outcomes = await asyncio.gather(*[coalescer.submit(number) for number in range(8)], return_exceptions=True)

    assert [type(outcome) for outcome in outcomes] == [Unavailable] * 8
    assert len({id(outcome) for outcome in outcomes}) == 8
    assert runs == [8, 8]


async def test_work_that_loses_an_outcome_fails_its_batch_and_not_the_next():
    async def work(items: Sequence[int]) -> list[int]:
        return [item for item in items if item]

    coalescer = Coalescer("test", work)
    outcomes = await asyncio.gather(coalescer.submit(0), coalescer.submit(1), return_exceptions=True)

    assert [str(outcome) for outcome in outcomes] == ["test: 1 outcomes came back for 2 items"] * 2
    assert await coalescer.submit(2) == 2
