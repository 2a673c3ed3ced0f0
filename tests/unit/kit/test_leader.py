import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import psycopg
import pytest

from services.kit.database import Database
from services.kit.leader import Lease, LeaseLost, lead, together
from services.kit.migrations import KIT_MIGRATIONS, migrate

# Leads, and writes one row after another. Tells when it has begun to, when it notices that it no longer leads, and whether a fenced write
# of the old lease is refused then.
LEADER_PROCESS = """
import asyncio, sys
from services.kit.database import Database
from services.kit.errors import Unavailable
from services.kit.leader import Lease, LeaseLost, lead
from services.kit.telemetry import logs

async def main() -> None:
    logs.setup("leader")
    database = Database(sys.argv[1])
    await database.open()

    async def write(lease: Lease) -> None:
        async with database.transaction() as tx:
            await lease.fence(tx)
            await tx.execute("INSERT INTO effects (epoch) VALUES (%s)", [lease.epoch])

    async def write_too_late(lease: Lease) -> None:
        try:
            await write(lease)
        except LeaseLost:
            print(f"refused {lease.epoch}", flush=True)

    async def work(lease: Lease) -> None:
        try:
            await write(lease)
            print(f"elected {lease.epoch}", flush=True)
            while True:
                lease.check()
                await write(lease)
                await asyncio.sleep(0.01)
        except (LeaseLost, Unavailable, asyncio.CancelledError):
            print(f"noticed {lease.epoch}", flush=True)
            late.append(asyncio.create_task(write_too_late(lease)))
            raise

    late = []
    await lead(sys.argv[1], "writer", work)

asyncio.run(main())
"""


@pytest.fixture
async def url(database_url: str) -> str:
    await migrate(database_url, [("kit", KIT_MIGRATIONS)])
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE effects (id int GENERATED ALWAYS AS IDENTITY, epoch int)")
    return database_url


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    database = Database(url)
    await database.open()
    yield database
    await database.close()


@asynccontextmanager
async def leader_process(url: str) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", LEADER_PROCESS, url, stdout=PIPE)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def line_of(process: Process) -> str:
    assert process.stdout
    async with asyncio.timeout(20):
        return (await process.stdout.readline()).decode().strip()


class Leading:
    """A task of this process that contends, and what it was given."""

    def __init__(self, url: str) -> None:
        self.leases: asyncio.Queue[Lease] = asyncio.Queue()
        self.ended: asyncio.Queue[BaseException | None] = asyncio.Queue()
        self.task = asyncio.create_task(lead(url, "writer", self._work))

    async def _work(self, lease: Lease) -> None:
        self.leases.put_nowait(lease)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            self.ended.put_nowait(error)
            raise

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def test_a_frozen_leader_is_succeeded_and_does_no_harm_when_it_wakes_up(url: str):
    async with leader_process(url) as first:
        assert await line_of(first) == "elected 1"
        async with leader_process(url) as second:
            os.kill(first.pid, signal.SIGSTOP)
            assert await line_of(second) == "elected 2"
            os.kill(first.pid, signal.SIGCONT)

            assert await line_of(first) == "noticed 1"
            assert await line_of(first) == "refused 1"

    with psycopg.connect(url) as connection:
        epochs = [row[0] for row in connection.execute("SELECT epoch FROM effects ORDER BY id")]
    assert epochs == sorted(epochs)
    assert set(epochs) == {1, 2}


async def test_a_killed_leader_is_succeeded(url: str):
    async with leader_process(url) as first:
        assert await line_of(first) == "elected 1"
        async with leader_process(url) as second:
            first.kill()

            assert await line_of(second) == "elected 2"


async def test_a_lost_session_cancels_the_work_at_once(url: str):
    leading = Leading(url)
    lease = await leading.leases.get()
    lease.check()
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted")
    async with asyncio.timeout(0.5):
        await leading.ended.get()

    with pytest.raises(LeaseLost):
        lease.check()
    assert (await leading.leases.get()).epoch == 2
    await leading.stop()


async def test_a_leader_that_stops_hands_over(url: str):
    first = Leading(url)
    await first.leases.get()
    second = Leading(url)
    await first.stop()

    assert (await second.leases.get()).epoch == 2
    await second.stop()


async def test_one_of_two_leads(url: str):
    rivals = [Leading(url), Leading(url)]
    elected = await asyncio.wait([asyncio.create_task(rival.leases.get()) for rival in rivals], timeout=2.5)

    assert len(elected[0]) == 1
    for rival in rivals:
        await rival.stop()
    for waiting in elected[1]:
        waiting.cancel()


async def test_work_that_fails_is_begun_again_in_a_new_epoch(url: str):
    epochs: asyncio.Queue[int] = asyncio.Queue()

    async def work(lease: Lease) -> None:
        epochs.put_nowait(lease.epoch)
        raise ZeroDivisionError

    task = asyncio.create_task(lead(url, "writer", work))
    assert [await epochs.get(), await epochs.get()] == [1, 2]
    task.cancel()


async def test_a_lease_is_trusted_for_4_seconds_after_the_last_answered_ping():
    lease = Lease("writer", 1)
    lease.renew(time.monotonic() - 3.9)
    lease.check()
    lease.renew(time.monotonic() - 4)

    with pytest.raises(LeaseLost):
        lease.check()


async def test_the_next_election_waits_for_a_fenced_write(database: Database, url: str):
    leading = Leading(url)
    lease = await leading.leases.get()
    async with database.transaction() as tx:
        await lease.fence(tx)
        await leading.stop()
        successor = Leading(url)
        async with database.connection() as connection:
            while not await (await connection.execute("SELECT pid FROM pg_locks WHERE NOT granted")).fetchone():
                await asyncio.sleep(0.01)
        assert successor.leases.empty()

    assert (await successor.leases.get()).epoch == 2
    await successor.stop()


async def test_works_together_share_a_lease_and_end_together(url: str):
    leases: asyncio.Queue[Lease] = asyncio.Queue()
    ended: asyncio.Queue[str] = asyncio.Queue()

    async def waits(lease: Lease) -> None:
        leases.put_nowait(lease)
        try:
            await asyncio.Event().wait()
        finally:
            ended.put_nowait("waits")

    task = asyncio.create_task(lead(url, "writer", together(waits, waits)))
    assert await leases.get() is await leases.get()
    task.cancel()

    assert [await ended.get(), await ended.get()] == ["waits", "waits"]
