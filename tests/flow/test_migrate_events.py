"""One Bazaar changes its event bus from PostgreSQL to Pulsar, while orders come."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from psycopg import AsyncConnection

from services.kit.events.departure import Departure
from tests.chaos.rush import Rush, Wish, refusals
from tests.shell import Shell
from tools.auditing import servers_of
from tools.bus import Bus, bus_of, events_url, plan
from tools.changeover import MOVING

pytestmark = [pytest.mark.edge, pytest.mark.pulsar, pytest.mark.timeout(580)]
RATE = 5.0
SECONDS = 500.0
"""How long it may take where others are at work; a broker alone takes 15 to 60."""


@pytest.fixture(scope="module")
def shell(pulsar_jars: Path, short_directory: Path) -> Iterator[Shell]:
    shell = Shell(short_directory / "moving")
    shell.up()
    yield shell
    shell.end()


def migrate(shell: Shell) -> subprocess.CompletedProcess[str]:
    return shell.run("migrate-events", timeout=SECONDS)


async def untold(shell: Shell) -> int:
    """How many events of orders are not on the bus."""
    return (await servers_of(shell.home).rows(shell.database("orders"), "SELECT count(*) FROM outbox"))[0][0]


async def states(shell: Shell, wishes: Sequence[Wish]) -> Counter[str]:
    """Of the orders that were wanted."""
    chosen = "SELECT state FROM orders WHERE order_id = ANY (%s::uuid[])"
    rows = await servers_of(shell.home).rows(shell.database("orders"), chosen, [wish.order_id for wish in wishes])
    return Counter(state for (state,) in rows)


def ranked(shell: Shell) -> int:
    """How many orders the rankings count, each once for each of its products."""
    answer = shell.get("/v1/queryTopProducts?category=rush&limit=10")
    return sum(int(row["orders"]) for row in answer["products"])


def test_two_do_not_move_the_same_home(shell: Shell):
    lock = shell.home.lock(MOVING)
    assert lock is not None
    done = migrate(shell)
    os.close(lock)

    assert (done.returncode, done.stderr.splitlines()[-1]) == (
        1,
        f"bazaar: another ./bazaar migrate-events is at work on {shell.home.path}",
    )


async def test_a_home_whose_mover_died_starts_on_postgres_again(shell: Shell):
    plan(shell.home, Bus.PULSAR)
    departure = Departure(events_url(shell.home))
    await departure.open()
    await departure.shut(is_shut=True)
    await departure.close()
    rush = Rush(shell, RATE)
    await rush.prepare()
    wish = await rush.fulfil()
    assert await untold(shell) > 0

    shell.run("down")
    shell.up()

    assert bus_of(shell.home) is Bus.POSTGRES
    assert (await shell.violations(), await untold(shell)) == ([], 0)
    assert await states(shell, [wish]) == Counter(CONFIRMED=1)


@asynccontextmanager
async def a_mover_half_way(shell: Shell) -> AsyncIterator[subprocess.Popen[bytes]]:
    """One that has closed PostgreSQL and copied the events, and is held up at what has failed."""
    url = events_url(shell.home)
    async with await AsyncConnection.connect(url) as start, await AsyncConnection.connect(url) as end:
        await start.execute("LOCK TABLE topics")
        mover = subprocess.Popen(**shell.command("migrate-events"))  # noqa: ASYNC220 (a process starts at once)
        await waits_to_read(shell, "topics")
        await end.execute("LOCK TABLE failures")
        await start.commit()
        await waits_to_read(shell, "SELECT failures.id, group_name, attempts, error,")
        yield mover
        mover.wait()


async def waits_to_read(shell: Shell, what: str) -> None:
    waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND position(%s IN query) > 0"
    servers = servers_of(shell.home)
    while not await servers.rows(servers.events, waiting, what):
        await asyncio.sleep(0.05)


async def test_a_mover_that_is_interrupted_leaves_the_home_on_postgres(shell: Shell):
    rush = Rush(shell, RATE)
    await rush.prepare()
    async with a_mover_half_way(shell) as mover:
        wish = await rush.fulfil()
        assert await untold(shell) > 0
        mover.send_signal(signal.SIGINT)

    assert (mover.returncode, bus_of(shell.home)) == (130, Bus.POSTGRES)
    assert (await shell.violations(), await untold(shell)) == ([], 0)
    assert await states(shell, [wish]) == Counter(CONFIRMED=1)
    while "pulsar" in shell.processes():
        await asyncio.sleep(0.2)


async def test_orders_go_on_while_the_bus_changes_though_the_first_mover_is_killed(shell: Shell):
    before, rush = ranked(shell), Rush(shell, RATE)
    await rush.prepare()
    async with rush.running():
        async with a_mover_half_way(shell) as mover:
            mover.kill()
        done = await asyncio.to_thread(migrate, shell)
        await asyncio.sleep(3)

    print(done.stderr, done.stdout, len(rush.wishes), refusals(rush.tries_since(0)))
    assert (done.returncode, bus_of(shell.home)) == (0, Bus.PULSAR)
    # Among them: every change of every order is on the new bus, in order, and the rankings equal the recount.
    assert await shell.violations() == []
    assert await states(shell, rush.wishes) == Counter(CONFIRMED=len(rush.wishes))
    assert ranked(shell) - before == 2 * len(rush.wishes)


def test_a_second_time_there_is_nothing_to_do(shell: Shell):
    workers = [shell.process(name).identity for name in ("worker-1", "worker-2")]
    done = migrate(shell)

    assert (done.returncode, done.stdout) == (0, "The events are in Pulsar\n")
    assert [shell.process(name).identity for name in ("worker-1", "worker-2")] == workers


async def test_the_next_start_is_on_pulsar(shell: Shell):
    shell.run("down")
    shell.up()

    assert shell.process("pulsar").state == "ready"
    assert await shell.violations() == []
