"""What goes to PostgreSQL together, and what it answers."""

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest
from psycopg import sql

from services.kit.database import Connection, Database
from services.kit.telemetry import tracing
from tests.spans import recorded
from tests.unit.kit.pens import colours, pens_in


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with pens_in(database_url) as database:
        yield database


async def prepared(connection: Connection) -> list[str]:
    found = await connection.execute("SELECT statement FROM pg_prepared_statements WHERE statement LIKE '%pens%' ORDER BY 1", None)
    return [row["statement"] for row in await found.fetchall() if "pg_prepared" not in row["statement"]]


async def test_what_is_deferred_is_done_with_the_next_statement(database: Database):
    async with database.transaction() as tx:
        tx.defer("UPDATE pens SET colour = %s WHERE id = 1", ["green"])
        seen = await (await tx.execute("SELECT colour FROM pens WHERE id = 1")).fetchone()

    assert seen == {"colour": "green"}


async def test_what_is_deferred_last_is_done_with_the_commit(database: Database):
    async with database.transaction() as tx:
        await tx.execute("SELECT 1")
        tx.defer("UPDATE pens SET colour = 'green' WHERE id = 1")

    assert await colours(database) == ["green", "blue"]


async def test_a_deferred_statement_that_fails_undoes_the_transaction(database: Database):
    async def change() -> None:
        async with database.transaction() as tx:
            await tx.execute("UPDATE pens SET colour = 'green' WHERE id = 1")
            tx.defer("INSERT INTO pens VALUES (2, 'black')")
            tx.defer("INSERT INTO pens VALUES (3, 'black')")

    with pytest.raises(psycopg.errors.UniqueViolation):
        await change()

    assert await colours(database) == ["red", "blue"]


async def test_what_was_deferred_in_a_transaction_that_is_undone_is_forgotten(database: Database):
    async def change() -> None:
        async with database.transaction() as tx:
            tx.defer("UPDATE pens SET colour = 'green'")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await change()
    async with database.transaction() as tx:
        await tx.execute("SELECT 1")

    assert await colours(database) == ["red", "blue"]


async def test_a_transaction_in_which_nothing_is_done_sends_nothing(database: Database):
    with recorded() as spans, tracing.span("work"):
        async with database.transaction():
            pass

        assert [span.name for span in spans.all] == []


async def test_statements_that_go_together_are_one_span(database: Database):
    with recorded() as spans, tracing.span("work"):
        async with database.transaction() as tx:
            await tx.execute_all(("SELECT * FROM pens FOR UPDATE", None), ("SELECT 1", None))
            tx.defer("DELETE FROM pens")

        together = spans.named("SELECT pens; SELECT")
        assert together.attributes is not None
        assert together.attributes["db.operation.batch.size"] == 2
        assert [span.name for span in spans.all] == ["SELECT pens; SELECT", "DELETE pens; COMMIT"]


async def test_a_later_statement_of_one_trip_sees_what_the_earlier_one_waited_for(database: Database, database_url: str):
    read = ("SELECT colour FROM pens WHERE id = 1", None)
    async with await psycopg.AsyncConnection.connect(database_url) as rival:
        await rival.execute("UPDATE pens SET colour = 'green' WHERE id = 1")

        async def work() -> object:
            async with database.transaction() as tx:
                _, after = await tx.execute_all(("SELECT 1 FROM pens WHERE id = 1 FOR UPDATE", None), read)
                return await after.fetchone()

        working = asyncio.create_task(work())
        async with database.connection() as watcher:
            while not (await (await watcher.execute("SELECT count(*) AS n FROM pg_locks WHERE NOT granted")).fetchone() or {})["n"]:
                await asyncio.sleep(0)
        await rival.commit()

        assert await working == {"colour": "green"}


async def test_after_a_failure_the_rest_of_a_trip_is_not_run(database: Database):
    async with database.connection() as connection:
        with pytest.raises(psycopg.errors.DivisionByZero):
            await connection.execute_all(("SELECT 1/0", None), ("UPDATE pens SET colour = 'green'", None))

    assert await colours(database) == ["red", "blue"]


async def test_a_connection_goes_on_after_a_failed_trip(database: Database):
    async with database.connection() as connection:
        with pytest.raises(psycopg.errors.UndefinedTable):
            await connection.execute("SELECT * FROM pencils WHERE id = %s", [1])
        found = await connection.execute("SELECT colour FROM pens WHERE id = %s", [1])

        assert found.tuples() == [("red",)]


async def test_a_statement_is_prepared_once_for_a_connection(database: Database):
    async with database.connection() as connection:
        for number in (1, 2, 1):
            await connection.execute("SELECT colour FROM pens WHERE id = %s", [number])

        assert (await prepared(connection)).count("SELECT colour FROM pens WHERE id = $1") == 1


async def test_a_composed_statement_is_not_kept(database: Database):
    async with database.connection() as connection:
        await connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier("pens")))

        assert 'SELECT count(*) FROM "pens"' not in await prepared(connection)


async def test_a_prepared_statement_whose_preparing_was_undone_is_there_again(database: Database):
    async def look_up() -> None:
        async with database.transaction() as tx:
            await tx.execute("SELECT id FROM pens WHERE colour = %s", ["red"])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await look_up()
    async with database.connection() as connection:
        assert (await connection.execute("SELECT id FROM pens WHERE colour = %s", ["red"])).tuples() == [(1,)]


async def test_a_cancelled_statement_leaves_the_connection_usable(database: Database):
    async with database.connection() as connection:
        sleeping = asyncio.create_task(connection.execute("SELECT pg_sleep(60), %s::int AS one", [1]))
        while connection.pgconn.transaction_status != psycopg.pq.TransactionStatus.ACTIVE:
            await asyncio.sleep(0)
        sleeping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sleeping

        assert (await connection.execute("SELECT %s::int", [2])).tuples() == [(2,)]


async def test_parameters_may_have_names_and_come_twice(database: Database):
    async with database.connection() as connection:
        found = await connection.execute("SELECT %(a)s::int + %(b)s::int + %(a)s::int AS sum, '%%' AS sign", {"a": 1, "b": 5})

        assert await found.fetchone() == {"sum": 7, "sign": "%"}


async def test_bytes_come_back_as_they_went(database: Database):
    async with database.connection() as connection:
        found = await connection.execute("SELECT %b::bytea AS raw, %s::bytea AS text", [b"\x00\xff", b"\x00\xfe"])

        assert await found.fetchone() == {"raw": b"\x00\xff", "text": b"\x00\xfe"}


@pytest.mark.parametrize(
    ("statement", "expected"),
    [("SELECT * FROM pens", 2), ("UPDATE pens SET colour = 'x' WHERE id = 1", 1), ("DELETE FROM pens", 2), ("SET jit = off", -1)],
)
async def test_a_result_counts_the_rows_returned_or_changed(database: Database, statement: str, expected: int):
    async with database.connection() as connection:
        assert (await connection.execute(statement)).rowcount == expected


async def test_a_script_runs_after_what_was_deferred(database: Database):
    async with database.transaction() as tx:
        tx.defer("UPDATE pens SET colour = 'green' WHERE id = 1")
        await tx.script("UPDATE pens SET colour = colour || '!'; DELETE FROM pens WHERE id = 2")

    assert await colours(database) == ["green!"]
