import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import psycopg
import pytest

from services.kit.database import Connection, Database, TextUnstorable
from services.kit.errors import Unavailable
from tests.unit.kit.pens import colours, pens_in

_SLOW_COMMIT = """
CREATE FUNCTION sleep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.5); RETURN NULL; END';
CREATE CONSTRAINT TRIGGER slow AFTER UPDATE ON pens DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION sleep();
"""


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with pens_in(database_url) as database:
        yield database


async def test_a_transaction_commits_at_the_end_of_its_block(database: Database):
    async with database.transaction() as tx:
        await tx.execute("UPDATE pens SET colour = 'green' WHERE id = 1")

    assert await colours(database) == ["green", "blue"]


async def test_a_transaction_rolls_back_when_its_block_raises(database: Database):
    async def change() -> None:
        async with database.transaction() as tx:
            await tx.execute("UPDATE pens SET colour = 'green' WHERE id = 1")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await change()

    assert await colours(database) == ["red", "blue"]


@pytest.mark.parametrize("statement", ["SELECT %s::text", "SELECT unnest(%s::text[])", "SELECT %s::jsonb"])
async def test_a_nul_character_is_a_fault_of_who_sent_the_text(database: Database, statement: str):
    value = {"SELECT %s::text": "a\x00", "SELECT unnest(%s::text[])": ["a\x00"], "SELECT %s::jsonb": '"\\u0000"'}[statement]

    with pytest.raises(TextUnstorable) as caught:
        async with database.transaction() as tx:
            await tx.execute(statement, [value])  # type: ignore[arg-type]

    assert caught.value.reason == "VALIDATION_FAILED"


async def test_a_cancelled_transaction_rolls_back_and_gives_its_connection_back(database: Database):
    locked = asyncio.Event()

    async def change() -> None:
        async with database.transaction() as tx:
            await tx.execute("UPDATE pens SET colour = 'green' WHERE id = 1")
            locked.set()
            await tx.execute("SELECT pg_sleep(60)")

    changing = asyncio.create_task(change())
    await locked.wait()
    changing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await changing

    assert await colours(database) == ["red", "blue"]


async def test_a_commit_is_not_stopped_when_its_caller_is_cancelled(database: Database):
    async with database.connection() as connection:
        await connection.script(_SLOW_COMMIT)
    began = asyncio.Event()

    async def change() -> None:
        async with database.transaction() as tx:
            await tx.execute("UPDATE pens SET colour = 'green' WHERE id = 1")
            began.set()

    changing = asyncio.create_task(change())
    await began.wait()
    while not await sleeping(database):
        pass
    changing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await changing
    assert await sleeping(database)
    while await sleeping(database):
        pass

    assert await colours(database) == ["green", "blue"]


async def sleeping(database: Database) -> bool:
    """Whether a commit is under way."""
    async with database.connection() as connection:
        question = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
        return (await connection.execute(question)).rowcount == 1


async def test_a_caller_that_is_cancelled_again_and_again_loses_no_connection(database: Database):
    for _ in range(3):
        inside = asyncio.Event()

        async def change(inside: asyncio.Event = inside) -> None:
            async with database.transaction() as tx:
                await tx.execute("UPDATE pens SET colour = 'green' WHERE id = 1")
                inside.set()
                await asyncio.Event().wait()

        changing = asyncio.create_task(change())
        await inside.wait()
        while not changing.done():
            changing.cancel()
            await asyncio.sleep(0)

    async with database.connection(), database.connection(), database.connection():
        pass


async def test_a_session_that_idled_too_long_in_a_transaction_is_unavailable(database: Database):
    async def idle() -> None:
        async with database.transaction() as tx:
            await tx.execute("SET idle_in_transaction_session_timeout = 1")
            await asyncio.sleep(0.1)
            await tx.execute("SELECT 1")

    with pytest.raises(Unavailable):
        await idle()


async def test_ids_are_read_as_text(database: Database):
    async with database.connection() as connection:
        row = await (await connection.execute("SELECT %s::uuid AS id", ["019a0000-0000-7000-8000-000000000000"])).fetchone()

    assert row == {"id": "019a0000-0000-7000-8000-000000000000"}


async def test_a_pool_opens_three_connections_and_a_fourth_caller_waits(database: Database):
    release = asyncio.Event()
    held = asyncio.Semaphore(0)

    async def hold() -> int:
        async with database.connection() as connection:
            held.release()
            await release.wait()
            return connection.info.backend_pid

    holders = [asyncio.create_task(hold()) for _ in range(4)]
    for _ in range(3):
        await held.acquire()
    assert held.locked()
    release.set()

    assert len(set(await asyncio.gather(*holders))) == 3


async def rival_cycle(database: Database) -> list[str]:
    """Two transactions that lock the same rows in opposite order; each waits until the other holds its first row."""
    both_hold = asyncio.Barrier(2)
    attempts: list[str] = []

    def locking(first: int, second: int, name: str) -> Callable[[Connection], Awaitable[None]]:
        async def work(tx: Connection) -> None:
            attempts.append(name)
            await tx.execute("UPDATE pens SET colour = colour || %s WHERE id = %s", [name, first])
            if len(attempts) <= 2:
                await both_hold.wait()
            await tx.execute("UPDATE pens SET colour = colour || %s WHERE id = %s", [name, second])

        return work

    await asyncio.gather(database.run(locking(1, 2, "A")), database.run(locking(2, 1, "B")))
    return attempts


async def test_run_repeats_the_victim_of_a_deadlock(database: Database):
    attempts = await rival_cycle(database)

    assert len(attempts) == 3
    assert sorted(sorted(colour[-2:]) for colour in await colours(database)) == [["A", "B"], ["A", "B"]]


async def test_run_gives_up_after_three_repeats(database: Database):
    attempts = 0

    async def work(tx: Connection) -> None:
        nonlocal attempts
        attempts += 1
        raise psycopg.errors.SerializationFailure

    with pytest.raises(psycopg.errors.SerializationFailure):
        await database.run(work)

    assert attempts == 4


async def test_run_does_not_repeat_other_failures(database: Database):
    attempts = 0

    async def work(tx: Connection) -> None:
        nonlocal attempts
        attempts += 1
        await tx.execute("INSERT INTO pens VALUES (1, 'red')")

    with pytest.raises(psycopg.errors.UniqueViolation):
        await database.run(work)

    assert attempts == 1


async def test_connections_that_the_server_closed_are_not_handed_out(database: Database, database_url: str):
    await asyncio.gather(colours(database), colours(database), colours(database))
    with psycopg.connect(database_url, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )

    assert await asyncio.gather(*[colours(database) for _ in range(6)]) == [["red", "blue"]] * 6


async def test_a_connection_lost_in_a_transaction_is_unavailable(database: Database, database_url: str):
    async def lose_the_connection() -> None:
        async with database.transaction() as tx:
            with psycopg.connect(database_url, autocommit=True) as other:
                other.execute("SELECT pg_terminate_backend(%s, 1000)", [tx.info.backend_pid])
            await tx.execute("SELECT 1")

    with pytest.raises(Unavailable, match="the database is away"):
        await lose_the_connection()

    assert await colours(database) == ["red", "blue"]


async def test_a_server_that_is_not_there_is_unavailable(tmp_path: Path):
    database = Database(f"postgresql://nobody@/nothing?host={tmp_path}")
    await database.open()
    with pytest.raises(Unavailable):
        await colours(database)
    await database.close()


async def test_a_statement_planned_while_its_table_is_small_uses_the_index_all_the_same(database: Database):
    async with database.transaction() as tx:
        await tx.script("CREATE TEMP TABLE small (id bigint PRIMARY KEY); INSERT INTO small VALUES (1)")
        plan = await (await tx.execute("EXPLAIN SELECT id FROM small WHERE id = 1")).fetchall()

    assert "Index" in plan[0]["QUERY PLAN"]
