"""The 24-hour window: what leaves it, when, and what comes too late for it."""

import asyncio
import random
from typing import Any

import pytest

from services.ranking import boards as boards_module
from services.ranking.model import Line, Metric, Window, left_at
from tests.ranked import HOUR, Ranked, back, every_query, line, query, recount
from tests.unit.ranking.shopping import shopping

TODAY = query(window=Window.LAST_24_HOURS)


class Crash(BaseException):
    """The process dies here."""


@pytest.fixture
def lines() -> list[Line]:
    return shopping(random.Random(21), 150)


async def assert_window(worker: Ranked, lines: list[Line], *, is_live: bool = True) -> None:
    for asked in every_query(lines):
        if asked.window is Window.LAST_24_HOURS and asked.metric is not Metric.UNITS:
            expected = recount(lines, asked, 5, worker.hour)
            answer = await worker.top(asked, 5)
            assert (answer.counts, answer.is_live) == (expected, is_live and bool(expected)), asked


def crash_after(monkeypatch: pytest.MonkeyPatch, chunks: int) -> None:
    """The process dies once it has taken so many chunks of leaving hours out of a window."""
    original, done = boards_module._SUBTRACT, iter(range(chunks))

    async def subtract(*args: Any, **named: Any) -> Any:
        if next(done, None) is None:
            raise Crash
        return await original(*args, **named)

    monkeypatch.setattr(boards_module, "_SUBTRACT", subtract)


async def test_an_hour_leaves_when_the_next_begins(worker: Ranked):
    await worker.count(line("old", hour=HOUR - 23), line("new"))
    before = await worker.top(TODAY)
    worker.pass_hours(1)
    meanwhile = await worker.top(TODAY)
    await worker.sweep()
    after = await worker.top(TODAY)

    assert [([count.product_id for count in answer.counts], answer.is_live) for answer in (before, meanwhile, after)] == [
        (["new", "old"], True),
        (["new"], False),
        (["new"], True),
    ]


async def test_all_time_is_live_while_hours_leave(worker: Ranked):
    await worker.count(line("old", hour=HOUR - 23))
    worker.pass_hours(1)

    assert (await worker.top(query())).is_live


@pytest.mark.parametrize("hours", [1, 2, 23, 24, 30, 24 * 40])
async def test_after_any_downtime_the_window_is_a_recount(worker: Ranked, lines: list[Line], hours: int):
    await worker.count(*lines)
    worker.pass_hours(hours)
    now = [line("now", hour=worker.hour)]
    await worker.count(*now)
    await worker.sweep()

    await assert_window(worker, lines + now)


async def test_hours_leave_in_chunks(worker: Ranked, lines: list[Line], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(boards_module, "CELLS_A_CALL", 3)
    await worker.count(*lines)
    worker.pass_hours(2)
    await worker.sweep()

    await assert_window(worker, lines)


@pytest.mark.parametrize("chunks", [0, 1, 2])
async def test_a_crash_while_an_hour_leaves_is_made_good_by_the_next_leader(
    worker: Ranked, rival: Ranked, monkeypatch: pytest.MonkeyPatch, chunks: int
):
    lines = [line(f"p{number}", hour=HOUR - 23 + number % 2, net_amount=number) for number in range(10)]
    monkeypatch.setattr(boards_module, "CELLS_A_CALL", 4)
    await worker.count(*lines)
    worker.pass_hours(1)
    rival.pass_hours(1)
    with monkeypatch.context() as crashing:
        crash_after(crashing, chunks)
        with pytest.raises(Crash):
            await worker.sweep()
    late, new = line("late", hour=HOUR - 23), line("new", hour=worker.hour)
    await worker.count(late, new)

    await assert_window(worker, [*lines, late, new], is_live=False)
    await rival.sweep()
    await assert_window(worker, [*lines, late, new])


async def test_what_was_begun_an_hour_ago_is_ended_before_more_hours_leave(worker: Ranked, monkeypatch: pytest.MonkeyPatch):
    lines = [line(f"p{number}", hour=HOUR - 23 + number % 3) for number in range(12)]
    monkeypatch.setattr(boards_module, "CELLS_A_CALL", 3)
    await worker.count(*lines)
    worker.pass_hours(1)
    with monkeypatch.context() as crashing:
        crash_after(crashing, 1)
        with pytest.raises(Crash):
            await worker.sweep()
    worker.pass_hours(1)
    monkeypatch.setattr(boards_module, "CELLS_A_CALL", 5)
    await worker.sweep()

    await assert_window(worker, lines)


async def test_rivals_take_an_hour_out_once(worker: Ranked, rival: Ranked, lines: list[Line], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(boards_module, "CELLS_A_CALL", 2)
    await worker.count(*lines)
    worker.pass_hours(1)
    rival.pass_hours(1)
    await asyncio.gather(worker.sweep(), rival.sweep(), rival.sweep())

    await assert_window(worker, lines)


async def test_a_rival_with_the_same_chunks_in_hand_takes_none_out_again(worker: Ranked, rival: Ranked, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(boards_module, "CELLS_A_CALL", 3)
    lines = [line(f"p{number}", 2, hour=HOUR - 23 + number % 2) for number in range(10)] + [line("p0"), line("p2")]
    await worker.count(*lines)
    worker.pass_hours(1)
    leaving = await worker.boards.leave(1, "garden", left_at(worker.hour))
    assert leaving == await rival.boards.leave(1, "garden", left_at(worker.hour))
    assert leaving is not None
    sums = await worker.store.sums(1, "garden", upto=leaving.position, after=leaving.after, until=leaving.upto)
    with monkeypatch.context() as crashing:
        crash_after(crashing, 2)
        with pytest.raises(Crash):
            await worker.boards.subtract(1, "garden", leaving, sums)
    await rival.boards.subtract(1, "garden", leaving, sums)
    await worker.sweep()

    await assert_window(worker, lines)


async def test_a_line_that_comes_after_its_hour_has_left_counts_for_all_time_only(worker: Ranked):
    await worker.count(line("saw"))
    worker.pass_hours(24)
    await worker.sweep()
    await worker.count(line("late"), line("new", hour=worker.hour))

    assert [count.product_id for count in (await worker.top(TODAY)).counts] == ["new"]
    assert [count.product_id for count in (await worker.top(query())).counts] == ["late", "new", "saw"]


async def test_a_reversal_of_a_line_whose_hour_has_left_changes_the_window_no_more(worker: Ranked):
    saw = line("saw")
    await worker.count(saw)
    worker.pass_hours(24)
    await worker.sweep()
    await worker.count(back(saw), line("saw", hour=worker.hour))

    assert [(count.orders, count.units) for count in (await worker.top(TODAY)).counts] == [(1, 1)]
    assert (await worker.top(query())).counts == (await worker.top(TODAY)).counts


async def test_a_board_filled_while_hours_leave_loses_nothing_to_the_old_ones_subtraction(worker: Ranked, rival: Ranked):
    lines = [line(f"p{number}", hour=HOUR - 23 + number % 2) for number in range(6)]
    await worker.count(*lines)
    worker.pass_hours(1)
    rival.pass_hours(1)
    leaving = await worker.boards.leave(1, "garden", left_at(worker.hour))
    assert leaving is not None
    sums = await worker.store.sums(1, "garden", upto=leaving.position, after=leaving.after, until=leaving.upto)
    worker.empty_redis()
    await rival.sweep()
    await worker.boards.subtract(1, "garden", leaving, sums)

    await assert_window(worker, lines)


async def test_a_board_whose_clock_is_ahead_of_the_readers_is_not_shown(worker: Ranked, rival: Ranked):
    await worker.count(line("old", hour=HOUR - 23), line("new"))
    rival.pass_hours(1)
    await rival.sweep()

    answer = await worker.top(TODAY)

    assert ([count.product_id for count in answer.counts], answer.is_live) == (["new", "old"], False)
