"""One Bazaar changes its event bus from PostgreSQL to Pulsar, while orders come."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from services.kit.events.departure import Departure
from tests.chaos.rush import Rush, Wish, refusals
from tests.shell import Shell
from tools.auditing import servers_of
from tools.bus import Bus, bus_of, events_url
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


async def test_orders_go_on_while_the_bus_changes(shell: Shell):
    before, rush = ranked(shell), Rush(shell, RATE)
    await rush.prepare()
    async with rush.running():
        await asyncio.sleep(5)
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
