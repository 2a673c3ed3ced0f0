import asyncio
import sys
from collections.abc import AsyncIterator
from dataclasses import replace

import psycopg
import pytest

from services.kit.database import Database
from services.kit.idempotency import Once, RequestIdReused, RequestInProgress, RequestKey, forget_old
from services.kit.migrations import KIT_MIGRATIONS, migrate

KEY = RequestKey(principal="user:u1", method="/bazaar.cart.v1.CartService/AddItem", key="k1", fingerprint=b"\x01" * 32)

HOLD_THE_KEY_IN_A_PROCESS = """
import asyncio, sys
from services.kit.database import Database
from services.kit.idempotency import Once, RequestKey

async def main() -> None:
    database = Database(sys.argv[1])
    await database.open()
    once = Once(RequestKey("user:u1", "/bazaar.cart.v1.CartService/AddItem", "k1", b"\\x01" * 32), str.encode)
    async with database.transaction() as tx:
        assert await once.answered(tx) is None
        print("holds", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        once.answer(tx, "theirs")
    print("answered", flush=True)
    await database.close()

asyncio.run(main())
"""


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    await migrate(database_url, [("kit", KIT_MIGRATIONS)])
    database = Database(database_url)
    await database.open()
    async with database.connection() as connection:
        await connection.execute("CREATE TABLE effects (name text)")
    yield database
    await database.close()


async def do_once(database: Database, key: RequestKey | None, effect: str) -> bytes:
    """A store's method: does the effect unless the request was answered."""
    once = Once[str](key, str.encode)
    async with database.transaction() as tx:
        if (answered := await once.answered(tx)) is not None:
            return answered
        await tx.execute("INSERT INTO effects VALUES (%s)", [effect])
        return once.answer(tx, effect)


async def effects(database: Database) -> list[str]:
    async with database.connection() as connection:
        return [row["name"] for row in await (await connection.execute("SELECT name FROM effects")).fetchall()]


async def test_a_repeat_gets_the_stored_answer_and_has_no_effect(database: Database):
    assert await do_once(database, KEY, "first") == b"first"
    assert await do_once(database, KEY, "second") == b"first"
    assert await effects(database) == ["first"]


async def test_the_key_of_another_request_is_refused(database: Database):
    await do_once(database, KEY, "first")

    with pytest.raises(RequestIdReused):
        await do_once(database, replace(KEY, fingerprint=b"\x02" * 32), "second")

    assert await effects(database) == ["first"]


@pytest.mark.parametrize("other", [{"principal": "user:u2"}, {"method": "/bazaar.cart.v1.CartService/RemoveItem"}, {"key": "k2"}])
async def test_a_key_is_scoped_by_principal_and_method(database: Database, other: dict[str, str]):
    await do_once(database, KEY, "first")

    assert await do_once(database, replace(KEY, **other), "second") == b"second"


async def test_without_a_key_every_request_has_its_effect(database: Database):
    await do_once(database, None, "first")

    assert await do_once(database, None, "second") == b"second"
    assert await effects(database) == ["first", "second"]


async def test_a_failed_attempt_does_not_burn_the_key(database: Database):
    once = Once[str](KEY, str.encode)

    async def fail() -> None:
        async with database.transaction() as tx:
            assert await once.answered(tx) is None
            once.answer(tx, "first")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()

    assert await do_once(database, KEY, "second") == b"second"


async def test_while_another_process_works_on_the_key_a_rival_is_turned_away_and_then_gets_its_answer(database: Database):
    other = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLD_THE_KEY_IN_A_PROCESS, database.url, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert other.stdin
    assert other.stdout
    assert await other.stdout.readline() == b"holds\n"

    with pytest.raises(RequestInProgress):
        await do_once(database, KEY, "ours")

    other.stdin.write(b"\n")
    assert await other.stdout.readline() == b"answered\n"
    assert await do_once(database, KEY, "ours") == b"theirs"
    assert await effects(database) == []
    await other.communicate()


async def test_a_process_killed_while_it_held_the_key_leaves_it_free(database: Database):
    other = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLD_THE_KEY_IN_A_PROCESS, database.url, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert other.stdout
    await other.stdout.readline()
    other.kill()
    await other.communicate()

    async with asyncio.timeout(5):
        while True:
            try:
                assert await do_once(database, KEY, "ours") == b"ours"
                break
            except RequestInProgress:
                await asyncio.sleep(0.01)


async def test_who_gets_the_key_after_a_rival_gets_the_rivals_answer(database: Database):
    async with database.transaction() as tx:
        # As early as it can: the rival's whole work falls between this transaction's first statement and its question.
        await tx.execute("SELECT FROM idempotency_keys")
        await do_once(database, KEY, "rival")

        assert await Once[str](KEY, str.encode).answered(tx) == b"rival"


async def test_whoever_answers_without_having_asked_rolls_back(database: Database):
    async def answer_unasked() -> None:
        async with database.transaction() as tx:
            await tx.execute("INSERT INTO effects VALUES ('unasked')")
            Once[str](KEY, str.encode).answer(tx, "unasked")

    await do_once(database, KEY, "first")
    with pytest.raises(psycopg.errors.UniqueViolation):
        await answer_unasked()

    assert await effects(database) == ["first"]


async def test_answers_are_forgotten_after_24_hours(database: Database):
    await do_once(database, KEY, "first")
    await do_once(database, replace(KEY, key="old"), "old")
    async with database.connection() as connection:
        await connection.execute("UPDATE idempotency_keys SET created_at = now() - interval '24 hours 1 second' WHERE key = 'old'")
        await connection.execute("UPDATE idempotency_keys SET created_at = now() - interval '23 hours 59 minutes' WHERE key = 'k1'")

    assert await forget_old(database) == 1
    assert await do_once(database, KEY, "again") == b"first"
    assert await do_once(database, replace(KEY, key="old"), "again") == b"again"
