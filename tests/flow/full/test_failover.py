"""Each server of a full home dies or freezes while orders come: another takes its place, or they go on without it.

Full service is back within ten seconds where there is another one, else within ten of the server's own return.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest

from tests.chaos.full_service import SEARCH, asking, counted, is_searched, ranked, served
from tests.chaos.recovery import BAR, RATE, Row, assert_nothing_is_lost, back, go_well, recovered, until
from tests.chaos.rush import Rush, rushing
from tests.full import Hit, RedisNodes, mongo_primary, primary_and_heir
from tests.resharding import More, move
from tests.shell import Shell
from tools.credentials import postgres_pair_of
from tools.servers.redis_cluster import Node

pytestmark = [pytest.mark.edge, pytest.mark.full]

SIGNALS = pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
HOT = "rank:{rush}:1:head"
"""Where the ranking of what is ordered here says how far it has come."""

_ORDERED = """
SELECT line->>'product_id', count(*)
FROM orders JOIN order_contents USING (user_bucket, order_id), jsonb_array_elements(content->'lines') line
WHERE state = 'CONFIRMED' GROUP BY 1
"""


@pytest.fixture(scope="module")
async def rush(full: Shell) -> AsyncIterator[Rush]:
    """Orders, all the time."""
    async with rushing(full, RATE) as rush:
        yield rush


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    """What came of each victim so far."""
    return []


@pytest.fixture(scope="module")
def nodes(full: Shell) -> RedisNodes:
    return RedisNodes(full)


def applied(nodes: RedisNodes, name: str) -> int:
    """How far the hot ranking has come, as that node has it."""
    with nodes.client(name) as client:
        client.execute_command("READONLY")
        return int(client.execute_command("HGET", HOT, "applied") or 0)  # type: ignore[arg-type]


async def left_behind(nodes: RedisNodes, name: str) -> str:
    """The copy of a node, once it lags: it is refused, as a network would that is down."""
    copy = nodes.copy_of(name)
    with nodes.client(copy) as client:
        client.config_set("masterauth", "wrong")
    with nodes.client(name) as client:
        client.execute_command("CLIENT", "KILL", "TYPE", "replica")
    await until(lambda: applied(nodes, name) > applied(nodes, copy) + 5, 20)
    return copy


async def test_a_copy_that_lags_takes_the_place_of_a_dead_redis_and_is_healed(full: Shell, rush: Rush, nodes: RedisNodes, rows: list[Row]):
    await go_well(rush)
    await counted(full, rush, time.monotonic())
    primary = nodes.owner(HOT)
    copy = await left_behind(nodes, primary)

    async with asking(full) as statuses:
        hit = Hit(full, primary, signal.SIGKILL)
        await until(lambda: nodes.owner(HOT, without=primary) == copy, BAR)
        await counted(full, rush, hit.at)
    with nodes.client(copy) as client:
        client.config_set("masterauth", nodes.password)
    row = await hit.over(full, rush, rows)

    assert (row.refused, statuses.keys()) == ({}, {200})
    assert nodes.copy_of(copy) == primary


async def test_a_copy_takes_the_place_of_a_frozen_redis(full: Shell, rush: Rush, nodes: RedisNodes, rows: list[Row]):
    await go_well(rush)
    primary = nodes.owner(HOT)
    copy = nodes.copy_of(primary)

    async with asking(full) as statuses:
        hit = Hit(full, primary, signal.SIGSTOP)
        await until(lambda: nodes.owner(HOT, without=primary) == copy, BAR)
        await counted(full, rush, hit.at)
        row = await hit.over(full, rush, rows)

    assert (row.refused, statuses.keys()) == ({}, {200})


async def test_slots_move_from_three_nodes_to_six_and_back(full: Shell, rush: Rush, nodes: RedisNodes, rows: list[Row], folder: Path):
    """The first to move are those of the hot ranking's half."""
    await go_well(rush)
    at, more = time.monotonic(), More(nodes, folder, 3)
    await asyncio.to_thread(more.join)
    halves = [
        half_of(node, nodes.slot(HOT)) for node in sorted(nodes.known(), key=lambda node: not node.has(nodes.slot(HOT))) if node.slots
    ]
    moves = [(half, port, new) for (half, port), new in zip(halves, more.ports, strict=True)]

    async with asking(full) as statuses:
        for half, old, new in moves:
            await asyncio.to_thread(move, nodes, half, old, new)
        await counted(full, rush, time.monotonic())
        for half, old, new in moves:
            await asyncio.to_thread(move, nodes, half, new, old)
        await counted(full, rush, time.monotonic())
    await asyncio.to_thread(more.leave)
    row = await recovered(rush, "slots", "MOVE", at, time.monotonic())

    rows.append(row)
    print(row)
    assert (row.refused, statuses.keys()) == ({}, {200})


def half_of(node: Node, hot: int) -> tuple[list[int], int]:
    """Half of a node's slots, that with the hot one if it is here; and its port."""
    slots = sorted(slot for some in node.slots for slot in some)
    middle = len(slots) // 2
    return (slots[:middle] if hot in slots[:middle] else slots[middle:]), node.port


def hit_all(shell: Shell, victim: str, number: signal.Signals) -> Hit:
    """Every process of the server: a frozen one would otherwise go on with who is in already."""
    member = next(member for member in postgres_pair_of(shell.home).members if member.name == victim)
    return Hit(shell, victim, number, member.processes())


@SIGNALS
async def test_the_standby_takes_the_place_of_the_primary(full: Shell, rush: Rush, rows: list[Row], number: signal.Signals):
    primary, heir = await primary_and_heir(full)
    await go_well(rush)

    hit = hit_all(full, primary, number)
    row = await hit.over(full, rush, rows)

    assert row.is_passing
    assert row.recovery <= BAR
    assert not hit.identity.is_alive()
    assert await primary_and_heir(full) == (heir, primary)


async def test_a_primary_whose_first_process_alone_freezes_is_replaced_whole(full: Shell, rush: Rush, rows: list[Row]):
    """Who is in goes on as if nothing were, and nobody else gets in."""
    primary, heir = await primary_and_heir(full)
    await go_well(rush)
    with psycopg.connect(postgres_pair_of(full.home).primary.url(), autocommit=True) as connection:
        row = await Hit(full, primary, signal.SIGSTOP).over(full, rush, rows)

        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")

    assert row.is_passing
    assert row.recovery <= BAR
    assert await primary_and_heir(full) == (heir, primary)


@SIGNALS
async def test_orders_go_on_without_the_standby(full: Shell, rush: Rush, rows: list[Row], number: signal.Signals):
    primary, heir = await primary_and_heir(full)
    await go_well(rush)

    row = await hit_all(full, heir, number).over(full, rush, rows)

    assert row.is_passing
    assert row.recovery <= BAR
    assert await primary_and_heir(full) == (primary, heir)


@SIGNALS
async def test_another_member_takes_the_place_of_the_primary_of_mongodb(full: Shell, rush: Rush, rows: list[Row], number: signal.Signals):
    await go_well(rush)
    primary = mongo_primary(full)

    row = await Hit(full, primary, number).over(full, rush, rows)

    assert row.is_passing
    assert row.recovery <= BAR


@SIGNALS
@pytest.mark.parametrize("victim", ["pulsar", "opensearch"])
async def test_orders_go_on_without_the_bus_and_the_index(full: Shell, rush: Rush, rows: list[Row], victim: str, number: signal.Signals):
    await go_well(rush)

    hit = Hit(full, victim, number)
    up_at = await hit.back(full)
    print(f"all is well {await served(full, rush, up_at):.1f} s after {victim} was ready")
    row = await hit.over(full, rush, rows)

    assert not row.refused


async def test_search_goes_on_without_its_index(full: Shell):
    await until(lambda: is_searched(full), BAR)
    victim = full.process("opensearch").identity
    assert victim is not None

    async with asking(full, SEARCH) as statuses:
        victim.send(signal.SIGKILL)
        await back(full, "opensearch", victim, seconds=90)
        await until(lambda: is_searched(full), BAR)

    assert set(statuses) == {200}


async def test_nothing_was_lost_or_doubled(full: Shell, rush: Rush, rows: list[Row], capsys: pytest.CaptureFixture[str]):
    await rush.end()
    with capsys.disabled():
        print(await assert_nothing_is_lost(full, rush, rows))


async def test_the_ranking_is_exact(full: Shell, rush: Rush):
    """As somebody would count it who reads every order."""
    with psycopg.connect(full.database("orders")) as connection:
        wanted = dict(connection.execute(_ORDERED).fetchall())

    await until(lambda: ranked(full) == wanted, BAR)
