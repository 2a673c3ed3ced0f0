"""The main job on real input: baskets become orders through the edge, and every ranking equals a recount of the files."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise, product
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest

from tests.recount import METRICS, Recount
from tests.shell import Shell
from tools import ROOT
from tools.shop import Refused, Shop, administrator, edge_of
from tools.shop.client import patiently
from tools.shop.customers import Customers

pytestmark = [pytest.mark.edge, pytest.mark.timeout(300)]
SAMPLE = ROOT / "tests" / "data" / "sample"
REAL_BASKETS = 500
WINDOWS = ("all", "1h", "24h", "7d", "30d")
MOST_ROWS = 100
SETTLED = 30.0

Row = tuple[str, int, int, int]
"""Product, orders, units, revenue."""


class Replayed(NamedTuple):
    """A shop after a replay."""

    shell: Shell
    shop: Shop
    recount: Recount


@pytest.fixture(scope="module")
def shell(short_directory: Path) -> Iterator[Shell]:
    shell = Shell(short_directory / "replay")
    shell.up()
    yield shell
    shell.end()


@pytest.fixture(scope="module")
def resumed(shell: Shell) -> Shell:
    """The sample, replayed twice: the first run is killed in the middle, the second finishes its work."""
    with subprocess.Popen(**shell.command("replay", str(SAMPLE)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as first:
        wait_for_orders(shell, 50)
        first.kill()
    done = shell.run("replay", str(SAMPLE), timeout=200)
    assert done.returncode == 0, done.stderr
    return shell


@pytest.fixture(scope="module")
async def replayed(resumed: Shell) -> AsyncIterator[Replayed]:
    shop = Shop(edge_of(resumed.home))
    yield Replayed(resumed, shop, Recount(SAMPLE))
    shop.close()


def wait_for_orders(shell: Shell, count: int) -> None:
    give_up = time.monotonic() + 100
    with psycopg.connect(shell.database("orders"), autocommit=True) as connection:
        while connection.execute("SELECT count(*) FROM orders WHERE state = 'CONFIRMED'").fetchone()[0] < count:
            assert time.monotonic() < give_up
            time.sleep(0.05)


async def top(shop: Shop, category: str, metric: str, window: str) -> list[Row]:
    query = f"category={category}&metric={metric}&window={window}&limit={MOST_ROWS}"
    answer = await patiently(lambda: shop.get(f"/v1/queryTopProducts?{query}"))
    assert [row["rank"] for row in answer["products"]] == list(range(1, len(answer["products"]) + 1))
    return [(row["productId"], int(row["orders"]), int(row["units"]), int(row["revenue"]["minorUnits"])) for row in answer["products"]]


async def differences(shop: Shop, recount: Recount) -> list[tuple[str, str, str]]:
    """The rankings that aren't what the recount says; waits a little for the last events to be counted."""
    give_up, wrong = time.monotonic() + SETTLED, list(product(recount.by_category, METRICS, WINDOWS))
    while wrong and time.monotonic() < give_up:
        some = asyncio.Semaphore(16)

        async def differs(category: str, metric: str, window: str, some: asyncio.Semaphore = some) -> bool:
            async with some:
                return await top(shop, category, metric, window) != recount.ranked(category, metric)[:MOST_ROWS]

        found = await asyncio.gather(*(differs(*each) for each in wrong))
        wrong = [each for each, is_wrong in zip(wrong, found, strict=True) if is_wrong]
    return wrong


def counts(shell: Shell) -> dict:
    """What the last replay said it did."""
    report = shell.newest_report("replay")
    return {
        "orders": sum(report["counts"].get(name, 0) for name in ("orders placed", "orders that were placed before")),
        "lines refused": sum(report["refused"].get("line", {}).values()),
        "orders refused": report["refused"].get("order", {}),
    }


def expected(recount: Recount) -> dict:
    refused = {"no line left": recount.refused_baskets} if recount.refused_baskets else {}
    return {"orders": recount.orders, "lines refused": recount.refused_lines, "orders refused": refused}


async def test_a_replay_that_was_cut_off_is_finished_by_the_next(replayed):
    assert replayed.shell.newest_report("replay")["counts"]["orders that were placed before"] >= 50
    assert counts(replayed.shell) == expected(replayed.recount)


async def test_the_sample_orders_of_500_baskets(replayed):
    assert expected(replayed.recount) == {"orders": 494, "lines refused": 30, "orders refused": {"no line left": 6}}


async def test_every_ranking_equals_the_recount(replayed):
    assert await differences(replayed.shop, replayed.recount) == []


async def test_the_sample_has_rankings_that_ties_decide(replayed):
    """Otherwise the comparison above would prove nothing about them."""
    ranked = replayed.recount.ranked("grocery", "orders")
    neighbours = list(pairwise(ranked))

    assert any(a[1] == b[1] and a[2] > b[2] for a, b in neighbours)
    assert any(a[1:3] == b[1:3] and a[0] < b[0] for a, b in neighbours)


async def test_the_shop_finds_no_difference_itself(replayed):
    admin = administrator(replayed.shop, replayed.shell.home)
    await differences(replayed.shop, replayed.recount)
    answer = await replayed.shop.post("/v1/ranking:verify", {}, token=await admin.token())

    assert int(answer["differenceCount"]) == 0


async def test_a_second_replay_orders_nothing(replayed):
    done = replayed.shell.run("replay", str(SAMPLE), timeout=200)

    assert done.returncode == 0, done.stderr
    assert replayed.shell.newest_report("replay")["counts"]["orders that were placed before"] == 494
    assert await differences(replayed.shop, replayed.recount) == []


async def test_the_invariants_hold(replayed):
    assert await replayed.shell.violations() == []


async def test_the_first_baskets_are_those_of_the_file(replayed):
    """Nothing new is ordered by a shorter replay of what has been replayed."""
    done = replayed.shell.run("replay", str(SAMPLE), "--orders", "20", timeout=200)

    assert done.returncode == 0, done.stderr
    assert counts(replayed.shell) == expected(Recount(SAMPLE, 20))


async def test_a_household_is_a_user_who_sees_its_orders(replayed):

    customer = Customers(replayed.shop, replayed.shell.home)["14"]
    answer = await replayed.shop.get("/v1/orders", token=await customer.account.token())

    assert {order["userId"] for order in answer["orders"]} == {customer.user_id}


async def test_a_stranger_may_not_import(replayed):
    with pytest.raises(Refused) as refused:
        await replayed.shop.post("/v1/products:import", {"products": [{"title": "x"}]})

    assert refused.value.reason == "UNAUTHENTICATED"


@pytest.mark.timeout(500)
async def test_every_ranking_of_real_baskets_equals_the_recount(short_directory):
    if "BAZAAR_DATA" not in os.environ:
        pytest.skip("BAZAAR_DATA names no directory with the Complete Journey")
    directory, shell = Path(os.environ["BAZAAR_DATA"]) / "completejourney", Shell(short_directory / "real")
    try:
        shell.up()
        done = shell.run("replay", str(directory), "--orders", str(REAL_BASKETS), timeout=300)
        assert done.returncode == 0, done.stderr
        shop, recount = Shop(edge_of(shell.home)), Recount(directory, REAL_BASKETS)

        assert recount.refused_lines
        assert recount.refused_baskets
        assert max(map(len, recount.by_category.values())) > MOST_ROWS
        assert counts(shell) == expected(recount)
        assert await differences(shop, recount) == []
        assert await shell.violations() == []
        shop.close()
    finally:
        shell.end()
