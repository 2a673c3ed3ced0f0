"""Roll-ups and the lines after them are a recount at any moment."""

import random

import pytest

from services.ranking.model import Metric, Window, add_up, lefts_at
from tests.ranked import HOUR, MINUTE, Ranked, back, every_query, line, query, recount
from tests.unit.ranking.shopping import shopping
from tests.unit.rivals import meet, waiting


@pytest.mark.parametrize("rolled", ["nothing", "a part", "all"])
async def test_history_is_a_recount_whatever_is_rolled_up(worker: Ranked, rolled: str):
    lines = shopping(random.Random(1), 300)
    await worker.store.add(lines)
    if rolled == "a part":
        for root in await worker.store.positions(1):
            assert await worker.history.roll_up(1, root, 20)
    elif rolled == "all":
        await worker.roll_up()

    for asked in every_query(lines):
        assert await worker.historical(asked, 7) == recount(lines, asked, 7), asked


async def test_lines_after_a_roll_up_count_at_once(worker: Ranked):
    saw = line("saw", 2)
    await worker.store.add([saw])
    await worker.roll_up()
    await worker.store.add([line("axe", 3), back(saw)])

    assert [count.product_id for count in await worker.historical(query())] == ["axe"]


async def test_a_root_is_rolled_up_in_steps(worker: Ranked):
    await worker.store.add([line() for _ in range(5)])

    assert [await worker.history.roll_up(1, "garden", 2) for _ in range(4)] == [True, True, False, False]
    assert await worker.rows("SELECT position FROM rolled") == [{"position": 5}]


async def test_two_rivals_rolling_up_add_every_line_once(worker: Ranked, rival: Ranked):
    await worker.store.add([line("saw", 2) for _ in range(5)])
    await worker.history.roll_up(1, "garden", 1)

    await meet(
        worker.database,
        "SELECT * FROM rolled WHERE root = %s FOR UPDATE",
        ["garden"],
        worker.history.roll_up(1, "garden", 3),
        rival.history.roll_up(1, "garden", 3),
    )

    assert await worker.rows("SELECT orders, units FROM totals") == [{"orders": 5, "units": 10}]


async def test_a_neighbour_whose_name_begins_alike_is_not_below(worker: Ranked):
    await worker.store.add(
        [line("a", category_id="garden.tools"), line("b", category_id="garden.tools-old"), line("c", category_id="garden")]
    )

    assert [count.product_id for count in await worker.historical(query("garden.tools"))] == ["a"]


async def test_the_window_is_the_current_hour_and_the_23_before(worker: Ranked):
    await worker.store.add([line("in", minute=60 * (HOUR - 23)), line("out", minute=60 * (HOUR - 24))])

    assert [count.product_id for count in await worker.historical(query(window=Window.LAST_24_HOURS))] == ["in"]


async def test_revenue_is_counted_in_one_currency_orders_in_all(worker: Ranked):
    await worker.store.add([line("a", net_amount=5, currency="USD"), line("a", net_amount=7), line("b", net_amount=6, currency="USD")])

    [first, second] = await worker.historical(query(metric=Metric.REVENUE, currency="USD"))

    assert [(each.product_id, each.orders, each.revenue) for each in (first, second)] == [("b", 1, 6), ("a", 2, 5)]


async def test_a_rank_in_history_is_the_place_in_the_top(worker: Ranked):
    lines = shopping(random.Random(2), 200)
    await worker.store.add(lines)

    for asked in (query("garden", metric) for metric in Metric):
        for place, count in enumerate(recount(lines, asked, 100), start=1):
            assert await worker.history.rank(1, asked, count.product_id, minute=MINUTE) == (place, count)


async def test_a_product_nobody_ordered_has_no_rank(worker: Ranked):
    placed = line("saw")
    await worker.store.add([placed, back(placed)])

    assert await worker.history.rank(1, query(), "saw", minute=MINUTE) is None


async def test_a_snapshot_holds_all_lines_up_to_its_position(worker: Ranked):
    lines = [line("a", minute=60 * (HOUR - 30)), line("b", 2)]
    await worker.store.add(lines)
    await worker.roll_up()
    await worker.store.add([line("b", 3)])

    snapshot = await worker.history.snapshot(1, "garden", lefts_at(MINUTE))

    assert snapshot is not None
    assert snapshot.position == 3
    assert snapshot.sums[Window.ALL] == {("garden.tools", "a", "INR", 0): (1, 1, 100), ("garden.tools", "b", "INR", 0): (2, 5, 200)}
    assert snapshot.sums[Window.LAST_24_HOURS] == {("garden.tools", "b", "INR", 0): (2, 5, 200)}


async def test_a_snapshot_is_of_one_moment(worker: Ranked, rival: Ranked):
    await worker.store.add([line("a")])
    await worker.roll_up()
    async with rival.database.transaction() as tx:
        await tx.execute("LOCK TABLE totals IN ACCESS EXCLUSIVE MODE")
        [reading] = await waiting(rival.database, worker.history.snapshot(1, "garden", lefts_at(MINUTE)))
        await worker.store.add([line("b")])
    snapshot = await reading

    assert (snapshot.position, [product for _, product, _, _ in snapshot.sums[Window.ALL]]) == (1, ["a"])


async def test_an_unknown_root_has_no_snapshot(worker: Ranked):
    assert await worker.history.snapshot(1, "garden", lefts_at(MINUTE)) is None


async def test_old_hours_are_forgotten_and_all_time_is_not(worker: Ranked):
    await worker.store.add([line("old", minute=60 * (HOUR - 745)), line("new", minute=60 * (HOUR - 744))])
    await worker.roll_up()

    await worker.projection.forget_hours()

    assert await worker.rows("SELECT product_id FROM hours") == [{"product_id": "new"}]
    assert [count.product_id for count in await worker.historical(query())] == ["new", "old"]


def test_the_recount_itself_counts_a_repeat_once():
    saw = line("saw")

    assert recount([saw, saw], query())[0].orders == 1
    assert add_up([saw, saw]) == {("garden.tools", "saw", "INR", MINUTE): (2, 2, 200)}
