"""Each server of a full home dies or freezes while orders come: another takes its place, or they go on without it.

Full service is back within ten seconds where there is another one, else within ten of the server's own return.
"""

from __future__ import annotations

import asyncio
import itertools
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.chaos.recovery import RATE, Row, assert_nothing_is_lost, back, go_well, recovered, until
from tests.chaos.rush import SKUS, Rush
from tests.full import BAR, Hit, RedisNodes, mongo_primary, primary_and_heir
from tests.resharding import More, move
from tests.shell import Shell
from tools.credentials import postgres_pair_of
from tools.servers.redis_cluster import Node

pytestmark = [pytest.mark.edge, pytest.mark.full]

SIGNALS = pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
HOT = "rank:{rush}:1:head"
"""Where the ranking of what is ordered here says how far it has come."""
RANKING = "/v1/queryTopProducts?category=rush&limit="
SEARCH = "/v1/search?category=rush&page_size="

_ORDERED = """
SELECT line->>'product_id', count(*)
FROM orders JOIN order_contents USING (user_bucket, order_id), jsonb_array_elements(content->'lines') line
WHERE state = 'CONFIRMED' GROUP BY 1
"""


@pytest.fixture(scope="module")
async def rush(full: Shell) -> AsyncIterator[Rush]:
    """Orders, all the time."""
    rush = Rush(full, RATE)
    await rush.prepare()
    async with rush.running():
        yield rush


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    """What came of each victim so far."""
    return []


@pytest.fixture(scope="module")
def nodes(full: Shell) -> RedisNodes:
    return RedisNodes(full)


@asynccontextmanager
async def asking(shell: Shell, question: str = RANKING) -> AsyncIterator[Counter[int]]:
    """Somebody asks for the hot ranking, or for something else, all the time; the statuses of the answers."""
    statuses: Counter[int] = Counter()

    async def ask() -> None:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{shell.port}", trust_env=False, timeout=10) as client:
            # Another limit each time: the edge keeps answers for a moment.
            for limit in itertools.cycle(range(1, 100)):
                statuses[(await client.get(f"{question}{limit}")).status_code] += 1
                await asyncio.sleep(0.1)

    task = asyncio.create_task(ask())
    try:
        yield statuses
    finally:
        task.cancel()
        await asyncio.wait([task])


def ranked(shell: Shell) -> dict[str, int]:
    """Orders by product, as the live ranking has them; nothing while history answers."""
    answer = shell.get(f"{RANKING}{10 + time.monotonic_ns() % 80}")
    return {row["productId"]: int(row["orders"]) for row in answer["products"]} if answer["source"] == "LIVE" else {}


def lines(rush: Rush) -> int:
    """Of orders that were confirmed when they were answered."""
    return sum(len(wish.answer["order"]["lines"]) for wish in rush.wishes if wish.answer and wish.answer["order"]["state"] == "CONFIRMED")


def is_searched(shell: Shell) -> bool:
    """Whether the index answers, and what it has is what is on sale."""
    answer = shell.get(f"{SEARCH}{10 + time.monotonic_ns() % 80}")
    return (answer["source"], answer["totalSize"]) == ("INDEX", str(len(SKUS)))


async def counted(shell: Shell, rush: Rush, since: float, bar: float = BAR) -> None:
    """Within the bar, what has been confirmed by now is in the live ranking."""
    wanted = lines(rush)
    await until(lambda: sum(ranked(shell).values()) >= wanted, max(0.1, bar - (time.monotonic() - since)))


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

    row = await Hit(full, victim, number).over(full, rush, rows)
    await counted(full, rush, time.monotonic())

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
