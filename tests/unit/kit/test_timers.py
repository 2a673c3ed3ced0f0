import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from services.kit.database import Database
from services.kit.leader import Lease, LeaseLost
from services.kit.migrations import KIT_MIGRATIONS, migrate
from services.kit.timers import Timer, housekeeping, run_timers


@pytest.fixture
def lease() -> Lease:
    lease = Lease("timers", 1)
    lease.renew(time.monotonic() + 60)
    return lease


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    await migrate(database_url, [("kit", KIT_MIGRATIONS)])
    database = Database(database_url)
    await database.open()
    yield database
    await database.close()


async def test_a_timer_runs_at_once_and_again_and_again_with_its_leaders_lease(lease: Lease):
    runs: asyncio.Queue[Lease] = asyncio.Queue()
    timer = Timer("sweep", timedelta(milliseconds=1), runs.put)
    running = asyncio.create_task(run_timers([timer], lease))

    assert [await runs.get() for _ in range(3)] == [lease] * 3
    running.cancel()


async def test_a_timer_that_fails_runs_again_and_holds_up_no_other(lease: Lease):
    runs: asyncio.Queue[str] = asyncio.Queue()

    async def fail(_: Lease) -> None:
        await runs.put("fails")
        raise ZeroDivisionError

    async def succeed(_: Lease) -> None:
        await runs.put("succeeds")

    every = timedelta(milliseconds=1)
    running = asyncio.create_task(run_timers([Timer("fails", every, fail), Timer("succeeds", every, succeed)], lease))

    assert sorted([await runs.get() for _ in range(4)]) == ["fails", "fails", "succeeds", "succeeds"]
    running.cancel()


async def test_a_timer_does_not_run_on_a_lease_that_is_no_longer_trusted(lease: Lease):
    runs = 0

    async def work(lease: Lease) -> None:
        nonlocal runs
        runs += 1
        lease.end()

    with pytest.raises(ExceptionGroup) as caught:
        await run_timers([Timer("sweep", timedelta(0), work)], lease)

    assert caught.group_contains(LeaseLost)
    assert runs == 1


async def test_housekeeping_makes_the_inboxs_days_and_forgets_old_answers(database: Database, lease: Lease):
    async with database.connection() as connection:
        await connection.execute("INSERT INTO idempotency_keys VALUES ('user:u1', 'm', 'k', '', '', now() - interval '25 hours')")
    for timer in housekeeping(database, lambda: datetime(2026, 1, 31, 12, tzinfo=UTC)):
        await timer.work(lease)

    async with database.connection() as connection:
        cursor = await connection.execute(
            "SELECT to_regclass('inbox_2026_01_31') AS today, (SELECT count(*) FROM idempotency_keys) AS answers"
        )
        assert await cursor.fetchone() == {"today": "inbox_2026_01_31", "answers": 0}
