"""Rolling windows: what leaves them, when, and what comes too late for them."""

import asyncio
import random
from typing import Any

import pytest

from services.ranking import boards as boards_module
from services.ranking.boards_wire import Leaving
from services.ranking.model import ROLLING, Line, Metric, Window
from tests.ranked import MINUTE, Ranked, back, every_query, line, query, recount
from tests.unit.ranking.shopping import shopping

WINDOWS = pytest.mark.parametrize("window", ROLLING)


class Crash(BaseException):
    """The process dies here."""


@pytest.fixture
def lines() -> list[Line]:
    return shopping(random.Random(21), 150)


async def assert_window(worker: Ranked, lines: list[Line], *, is_live: bool = True) -> None:
    for asked in every_query(lines):
        if asked.window is not Window.ALL and asked.metric is not Metric.UNITS:
            expected = recount(lines, asked, 5, worker.minute)
            answer = await worker.top(asked, 5)
            assert (answer.counts, answer.is_live) == (expected, is_live and bool(expected)), asked


def crash_after(monkeypatch: pytest.MonkeyPatch, chunks: int) -> None:
    """The process dies once it has taken so many chunks of leaving minutes out of a window."""
    original, done = boards_module._SUBTRACT, iter(range(chunks))

    async def subtract(*args: Any, **named: Any) -> Any:
        if next(done, None) is None:
            raise Crash
        return await original(*args, **named)

    monkeypatch.setattr(boards_module, "_SUBTRACT", subtract)


def first(window: Window) -> int:
    """The first minute of a window."""
    return window.left_at(MINUTE) + 1


def aged(window: Window, count: int, buckets: int) -> list[Line]:
    """Lines of a window's first buckets in turn."""
    return [
        line(f"p{number}", minute=first(window) + number % buckets * window.bucket_minutes, net_amount=number) for number in range(count)
    ]


def pass_buckets(window: Window, count: int, *workers: Ranked) -> None:
    for worker in workers:
        worker.pass_minutes(count * window.bucket_minutes)


async def begin_leaving(worker: Ranked, window: Window) -> tuple[Leaving, Any]:
    """What a leader has in hand before it takes anything out."""
    leaving = await worker.boards.leave(1, "garden", window, window.left_at(worker.minute))
    assert leaving is not None
    return leaving, await worker.store.sums(1, "garden", upto=leaving.position, after=leaving.after, until=leaving.upto)


@WINDOWS
async def test_a_bucket_leaves_when_the_next_begins(worker: Ranked, window: Window):
    asked = query(window=window)
    await worker.count(line("old", minute=first(window)), line("new"))
    before = await worker.top(asked)
    pass_buckets(window, 1, worker)
    meanwhile = await worker.top(asked)
    await worker.sweep()
    after = await worker.top(asked)

    assert [([count.product_id for count in answer.counts], answer.is_live) for answer in (before, meanwhile, after)] == [
        (["new", "old"], True),
        (["new"], False),
        (["new"], True),
    ]


async def test_other_windows_are_live_while_minutes_leave_one(worker: Ranked):
    await worker.count(line("old", minute=first(Window.LAST_HOUR)))
    worker.pass_minutes(1)

    assert [(await worker.top(query(window=window))).is_live for window in Window] == [window is not Window.LAST_HOUR for window in Window]


@pytest.mark.parametrize("minutes", [1, 59, 61, 24 * 60, 7 * 24 * 60, 31 * 24 * 60])
async def test_after_any_downtime_the_windows_are_a_recount(worker: Ranked, lines: list[Line], minutes: int):
    await worker.count(*lines)
    worker.pass_minutes(minutes)
    now = [line("now", minute=worker.minute)]
    await worker.count(*now)
    await worker.sweep()

    await assert_window(worker, lines + now)


async def test_minutes_leave_in_chunks(worker: Ranked, lines: list[Line], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(boards_module, "CELLS_A_CALL", 3)
    await worker.count(*lines)
    worker.pass_minutes(61)
    await worker.sweep()

    await assert_window(worker, lines)


@WINDOWS
@pytest.mark.parametrize("chunks", [0, 1, 2])
async def test_a_crash_while_a_bucket_leaves_is_made_good_by_the_next_leader(
    worker: Ranked, rival: Ranked, monkeypatch: pytest.MonkeyPatch, window: Window, chunks: int
):
    lines = aged(window, 10, 2)
    monkeypatch.setattr(boards_module, "CELLS_A_CALL", 4)
    await worker.count(*lines)
    pass_buckets(window, 1, worker, rival)
    leaving, sums = await begin_leaving(worker, window)
    with monkeypatch.context() as crashing:
        crash_after(crashing, chunks)
        with pytest.raises(Crash):
            await worker.boards.subtract(1, "garden", leaving, sums)
    late, new = line("late", minute=first(window)), line("new", minute=worker.minute)
    await worker.count(late, new)
    asked = query(window=window)
    meanwhile = await worker.top(asked)
    await rival.sweep()

    assert (meanwhile.counts, meanwhile.is_live) == (recount([*lines, late, new], asked, minute=worker.minute), False)
    await assert_window(worker, [*lines, late, new])


@WINDOWS
async def test_what_was_begun_a_while_ago_is_ended_before_more_leaves(worker: Ranked, monkeypatch: pytest.MonkeyPatch, window: Window):
    lines = aged(window, 12, 3)
    monkeypatch.setattr(boards_module, "CELLS_A_CALL", 3)
    await worker.count(*lines)
    pass_buckets(window, 1, worker)
    leaving, sums = await begin_leaving(worker, window)
    with monkeypatch.context() as crashing:
        crash_after(crashing, 1)
        with pytest.raises(Crash):
            await worker.boards.subtract(1, "garden", leaving, sums)
    pass_buckets(window, 1, worker)
    monkeypatch.setattr(boards_module, "CELLS_A_CALL", 5)
    await worker.sweep()

    await assert_window(worker, lines)


async def test_rivals_take_minutes_out_once(worker: Ranked, rival: Ranked, lines: list[Line], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(boards_module, "CELLS_A_CALL", 2)
    await worker.count(*lines)
    worker.pass_minutes(61)
    rival.pass_minutes(61)
    await asyncio.gather(worker.sweep(), rival.sweep(), rival.sweep())

    await assert_window(worker, lines)


@WINDOWS
async def test_a_rival_with_the_same_chunks_in_hand_takes_none_out_again(
    worker: Ranked, rival: Ranked, monkeypatch: pytest.MonkeyPatch, window: Window
):
    monkeypatch.setattr(boards_module, "CELLS_A_CALL", 3)
    lines = [*aged(window, 10, 2), line("p0"), line("p2")]
    await worker.count(*lines)
    pass_buckets(window, 1, worker, rival)
    leaving, sums = await begin_leaving(worker, window)
    assert (await begin_leaving(rival, window))[0] == leaving
    with monkeypatch.context() as crashing:
        crash_after(crashing, 2)
        with pytest.raises(Crash):
            await worker.boards.subtract(1, "garden", leaving, sums)
    await rival.boards.subtract(1, "garden", leaving, sums)
    await worker.sweep()

    await assert_window(worker, lines)


@WINDOWS
async def test_lines_gathered_before_a_bucket_leaves_do_not_count_in_it_after(worker: Ranked, rival: Ranked, window: Window):
    old, older = line("old", minute=first(window)), line("older", minute=first(window))
    await worker.count(line("new"))
    await worker.store.add([old, older])
    step = worker.step("garden", 1, [old, older])
    pass_buckets(window, 1, worker, rival)
    await rival.boards.leave(1, "garden", window, window.left_at(worker.minute))

    assert await worker.boards.apply(1, [step]) == [1]
    await worker.sweep()
    await assert_window(worker, [line("new"), old, older])


@WINDOWS
async def test_a_line_that_comes_after_its_bucket_has_left_counts_for_all_time_only(worker: Ranked, window: Window):
    await worker.count(line("saw"))
    pass_buckets(window, window.buckets, worker)
    await worker.sweep()
    await worker.count(line("late"), line("new", minute=worker.minute))

    assert [count.product_id for count in (await worker.top(query(window=window))).counts] == ["new"]
    assert [count.product_id for count in (await worker.top(query())).counts] == ["late", "new", "saw"]


@WINDOWS
async def test_a_reversal_of_a_line_whose_bucket_has_left_changes_the_window_no_more(worker: Ranked, window: Window):
    saw = line("saw")
    await worker.count(saw)
    pass_buckets(window, window.buckets, worker)
    await worker.sweep()
    await worker.count(back(saw), line("saw", minute=worker.minute))

    assert [(count.orders, count.units) for count in (await worker.top(query(window=window))).counts] == [(1, 1)]
    assert [(count.orders, count.units) for count in (await worker.top(query())).counts] == [(1, 1)]


@WINDOWS
async def test_a_board_filled_while_a_bucket_leaves_loses_nothing_to_the_old_ones_subtraction(
    worker: Ranked, rival: Ranked, window: Window
):
    lines = aged(window, 6, 2)
    await worker.count(*lines)
    pass_buckets(window, 1, worker, rival)
    leaving, sums = await begin_leaving(worker, window)
    worker.empty_redis()
    await rival.sweep()
    await worker.boards.subtract(1, "garden", leaving, sums)

    await assert_window(worker, lines)


@WINDOWS
async def test_a_board_whose_clock_is_ahead_of_the_readers_is_not_shown(worker: Ranked, rival: Ranked, window: Window):
    await worker.count(line("old", minute=first(window)), line("new"))
    pass_buckets(window, 1, rival)
    await rival.sweep()

    answer = await worker.top(query(window=window))

    assert ([count.product_id for count in answer.counts], answer.is_live) == (["new", "old"], False)


async def test_a_board_that_lacks_a_window_is_filled_anew(worker: Ranked, lines: list[Line]):
    await worker.count(*lines)
    await worker.redis.hdel("rank:{garden}:1:head", "left:7d")

    assert not (await worker.top(query(window=Window.LAST_7_DAYS))).is_live
    await worker.sweep()
    await assert_window(worker, lines)
