from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ranking.model import (
    Count,
    Difference,
    Line,
    Metric,
    ProductNotRanked,
    Query,
    RebuildInProgress,
    Window,
    add_up,
    chunks,
    differing,
    lefts_at,
    minute_of,
    root_of,
    spread,
    tally,
    top,
    with_ancestors,
)
from tests.ranked import HOUR, MINUTE, back, line, recount

LINES = st.builds(
    Line,
    order_id=st.sampled_from(["a", "b", "c"]),
    line_number=st.integers(1, 3),
    sign=st.sampled_from([1, -1]),
    category_id=st.sampled_from(["g", "g.t", "g.t.saws", "g.tt", "k"]),
    product_id=st.sampled_from(["saw", "Saw", "axe", "é"]),
    quantity=st.integers(1, 3),
    currency=st.sampled_from(["INR", "USD"]),
    net_amount=st.integers(0, 3),
    minute=st.integers(MINUTE - 30, MINUTE),
)


def test_the_root_is_the_first_level():
    assert [root_of("garden.tools.saws"), root_of("garden")] == ["garden", "garden"]


def test_a_line_and_a_query_know_their_root():
    assert (line(category_id="garden.tools").root, Query("garden.tools", Metric.ORDERS, Window.ALL, "INR").root) == ("garden", "garden")


def test_a_category_counts_for_itself_and_everything_above():
    assert list(with_ancestors("garden.tools.saws")) == ["garden.tools.saws", "garden.tools", "garden"]


@pytest.mark.parametrize(
    ("time", "minute"),
    [
        (datetime(1970, 1, 1, tzinfo=UTC), 0),
        (datetime(1970, 1, 2, 0, 0, 59, 999_999, tzinfo=UTC), 1440),
        (datetime(2026, 11, 21, 13, 30, tzinfo=UTC), MINUTE),
    ],
)
def test_minutes_are_counted_from_1970_and_rounded_down(time: datetime, minute: int):
    assert minute_of(time) == minute


@pytest.mark.parametrize("past", [0, 1, 59])
@pytest.mark.parametrize(("window", "hours"), [(Window.LAST_24_HOURS, 24), (Window.LAST_7_DAYS, 168), (Window.LAST_30_DAYS, 720)])
def test_a_window_of_hours_is_the_current_hour_and_so_many_before_it(window: Window, hours: int, past: int):
    assert window.left_at(60 * HOUR + past) == 60 * (HOUR - hours + 1) - 1


def test_the_last_hour_is_the_current_minute_and_the_59_before_it():
    assert Window.LAST_HOUR.left_at(MINUTE) == MINUTE - 60


def test_nothing_is_outside_of_all_time():
    assert Window.ALL.left_at(MINUTE) == -1


def test_lines_leave_every_window_but_all_time():
    assert set(lefts_at(MINUTE)) == set(Window) - {Window.ALL}


def test_lines_are_added_up_by_category_product_currency_and_minute():
    lines = [
        line("saw", 2, net_amount=200),
        line("saw", 1, net_amount=90),
        line("saw", 1, net_amount=3, currency="USD"),
        line("axe", 5, minute=MINUTE - 1),
    ]

    assert add_up(lines) == {
        ("garden.tools", "saw", "INR", MINUTE): (2, 3, 290),
        ("garden.tools", "saw", "USD", MINUTE): (1, 1, 3),
        ("garden.tools", "axe", "INR", MINUTE - 1): (1, 5, 100),
    }


def test_a_line_taken_back_leaves_nothing():
    placed = line(quantity=2)

    assert add_up([placed, back(placed)]) == {}


def test_a_line_taken_back_before_its_placing_counts_below_zero():
    assert add_up([back(line("saw", 2))]) == {("garden.tools", "saw", "INR", MINUTE): (-1, -2, -100)}


def test_sums_are_carried_to_every_ancestor():
    sums = {("g.t", "saw", "INR", 7): (1, 2, 3), ("g", "saw", "INR", 7): (1, 1, 1)}

    assert spread(sums) == {("g.t", "saw", "INR", 7): (1, 2, 3), ("g", "saw", "INR", 7): (2, 3, 4)}


def test_a_tally_says_what_each_board_shows():
    sums = {("g", "saw", "INR", 0): (1, 2, 30), ("g", "saw", "USD", 0): (1, 1, 4)}

    assert tally(sums) == {
        ("g", Metric.ORDERS, ""): {"saw": 2},
        ("g", Metric.UNITS, ""): {"saw": 3},
        ("g", Metric.REVENUE, "INR"): {"saw": 30},
        ("g", Metric.REVENUE, "USD"): {"saw": 4},
    }


def test_a_tally_goes_on_from_what_the_boards_said():
    boards = tally({("g", "saw", "INR", 0): (1, 2, 30)})

    tally({("g", "saw", "INR", 0): (-1, -2, -30), ("g", "axe", "INR", 0): (1, 1, 5)}, into=boards)

    assert boards[("g", Metric.UNITS, "")] == {"saw": 0, "axe": 1}


def test_differences_name_product_count_and_both_amounts():
    found = differing("24h", ("g", Metric.UNITS, ""), {"saw": 2, "axe": 1, "hoe": 0}, {"saw": 3, "axe": 1, "rake": 4})

    assert found == [Difference("g", "rake", "24h/units", 0, 4), Difference("g", "saw", "24h/units", 2, 3)]


def test_most_of_the_metric_comes_first_then_more_units_then_the_smaller_id_in_byte_order():
    counts = [Count(*row) for row in [("b", 2, 3, 0), ("a", 2, 3, 0), ("Z", 2, 3, 0), ("é", 2, 4, 0), ("c", 3, 3, 0), ("d", 1, 9, 0)]]

    assert [count.product_id for count in top(counts, Metric.ORDERS, 10)] == ["c", "é", "Z", "a", "b", "d"]


def test_what_has_none_of_the_metric_is_not_ranked():
    counts = [Count("a", 1, 1, 0), Count("b", 0, 1, 5), Count("c", -1, -1, -5)]

    assert [[count.product_id for count in top(counts, metric, 10)] for metric in Metric] == [["a"], ["a", "b"], ["b"]]


def test_chunks_keep_order_and_lose_nothing():
    assert [*chunks("abcde", 2)] == ["ab", "cd", "e"]


def test_refusals_have_reasons():
    assert (ProductNotRanked.reason, RebuildInProgress.reason) == ("PRODUCT_NOT_RANKED", "REBUILD_IN_PROGRESS")


@given(st.sets(LINES, max_size=40), st.sampled_from(["g", "g.t", "g.t.saws", "g.tt", "k"]), st.sampled_from(Metric), st.integers(1, 5))
def test_sums_ranked_equal_a_naive_recount(lines: set[Line], category: str, metric: Metric, limit: int):
    query = Query(category, metric, Window.ALL, "INR")
    boards = tally(add_up(lines))
    units, orders = boards.get((category, Metric.UNITS, ""), {}), boards.get((category, Metric.ORDERS, ""), {})
    revenue = boards.get((category, Metric.REVENUE, "INR"), {})
    counts = [Count(product, orders[product], units[product], revenue.get(product, 0)) for product in orders]

    assert top(counts, metric, limit) == recount(lines, query, limit)


@given(st.lists(LINES, max_size=20), st.lists(LINES, max_size=20))
def test_sums_of_parts_tally_to_the_sum_of_all(some: list[Line], rest: list[Line]):
    apart = tally(add_up(rest), into=tally(add_up(some)))
    at_once = tally(add_up([*some, *rest]))

    assert _without_zeros(apart) == _without_zeros(at_once)


def _without_zeros(boards: dict) -> dict:
    return {(board, product): amount for board, amounts in boards.items() for product, amount in amounts.items() if amount}
