"""Boards say what a recount says, and history the same."""

import random

import pytest

from services.ranking.model import Count, Metric, ProductNotRanked, Window, chunks
from tests.ranked import MINUTE, Ranked, back, every_query, line, query, recount
from tests.unit.ranking.shopping import PRODUCTS, shopping


@pytest.mark.parametrize("seed", range(2))
async def test_live_and_historical_equal_a_recount_for_every_question(worker: Ranked, seed: int):
    lines = shopping(random.Random(seed), 250)
    for batch in chunks(lines, 60):
        await worker.count(*batch)

    for asked in every_query(lines):
        for limit in (1, 3, 10, 100):
            answer, expected = await worker.top(asked, limit), recount(lines, asked, limit)
            assert (answer.counts, answer.is_live) == (expected, bool(expected)), (asked, limit)
            assert await worker.historical(asked, limit) == expected, (asked, limit)


async def test_a_rank_is_the_place_in_the_top(worker: Ranked):
    lines = shopping(choice := random.Random(5), 250)
    await worker.count(*lines)

    for asked in choice.sample(every_query(lines), 20):
        places = {count.product_id: (place, count) for place, count in enumerate(recount(lines, asked, 100), start=1)}
        for product in PRODUCTS:
            try:
                rank, answer = await worker.rankings.rank(asked, product)
            except ProductNotRanked:
                assert product not in places
            else:
                assert (rank, answer.counts, answer.is_live) == (places[product][0], [places[product][1]], True)


async def test_many_more_products_tie_than_are_asked_for(worker: Ranked):
    tied = [line(f"p{number:04}", 1 + (number == 2345)) for number in range(2500)]
    for batch in chunks(tied, 500):
        await worker.count(*batch)
    await worker.count(line("p1000"), line("p1000"))

    answer = await worker.top(query(), 3)

    assert answer.is_live
    assert [(count.product_id, count.orders, count.units) for count in answer.counts] == [("p1000", 3, 3), ("p2345", 1, 2), ("p0000", 1, 1)]
    assert [(await worker.rankings.rank(query(), product))[0] for product in ("p2345", "p0000", "p0999", "p1001", "p2499")] == [
        2,
        3,
        1002,
        1003,
        2500,
    ]


async def test_a_line_counts_for_its_category_and_every_ancestor(worker: Ranked):
    await worker.count(line("saw", category_id="garden.tools.saws"))

    answers = [await worker.top(query(category)) for category in ("garden", "garden.tools", "garden.tools.saws", "garden.tools.axes")]

    assert [[count.product_id for count in answer.counts] for answer in answers] == [["saw"], ["saw"], ["saw"], []]


async def test_a_category_nobody_ordered_from_is_answered_from_history(worker: Ranked):
    answer = await worker.top(query("toys"))

    assert (answer.counts, answer.is_live) == ([], False)


async def test_what_was_taken_back_altogether_is_off_the_boards(worker: Ranked):
    saw = line("saw")
    await worker.count(saw, line("axe"))
    await worker.count(back(saw))

    board = await worker.boards.read(1, query())

    assert board is not None
    assert board[1] == {"axe": 1}


async def test_a_reversal_before_its_placing_comes_out_even(worker: Ranked):
    saw = line("saw", 3)
    await worker.count(back(saw))
    before = (await worker.top(query())).counts
    await worker.count(saw, line("saw"))

    assert (before, (await worker.top(query())).counts) == ([], [Count("saw", 1, 1, 100)])


async def test_an_answer_says_when_it_was_read(worker: Ranked):
    await worker.count(line())

    assert (await worker.top(query())).as_of == worker.now


async def test_a_hundred_billion_in_revenue_is_counted_to_the_last_unit(worker: Ranked):
    for _ in range(3):
        await worker.count(line("saw", net_amount=3_333_333_333_333), line("axe", net_amount=3_333_333_333_332))

    counts = (await worker.top(query(metric=Metric.REVENUE))).counts

    assert [(count.product_id, count.revenue) for count in counts] == [("saw", 9_999_999_999_999), ("axe", 9_999_999_999_996)]


async def test_more_sums_than_one_call_takes_are_counted_in_steps(worker: Ranked, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("services.ranking.following.CELLS_A_CALL", 7)
    lines = shopping(random.Random(3), 50)
    await worker.count(*lines)

    answer = await worker.top(query())

    assert (answer.counts, answer.is_live) == (recount(lines, query()), True)


async def test_a_line_of_a_future_hour_counts_in_the_window(worker: Ranked):
    await worker.count(line("saw", minute=MINUTE + 60))

    assert [count.product_id for count in (await worker.top(query(window=Window.LAST_24_HOURS))).counts] == ["saw"]
