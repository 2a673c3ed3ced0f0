"""However processes meet while they count and fill, every line is on one board, once."""

import asyncio

import pytest

from services.ranking.model import Line, chunks
from tests.ranked import Ranked, line, query, recount
from tests.unit.ranking.exact import LIVE, assert_exact, boards_of, then


async def test_everything_delivered_twice_counts_once(worker: Ranked, rival: Ranked, lines: list[Line]):
    for batch in chunks(lines, 50):
        await worker.count(*batch)
        await rival.count(*batch)

    await assert_exact(worker, lines)


async def test_a_rival_who_stopped_in_the_middle_of_a_batch_is_overtaken(worker: Ranked, monkeypatch: pytest.MonkeyPatch):
    saws = [line("saw") for _ in range(9)]
    await worker.count(saws[0])
    monkeypatch.setattr("services.ranking.projection.LINES_A_CALL", 3)

    async def apply_some() -> None:
        await worker.boards.apply(1, [worker.step("garden", 1, saws[1:8])])

    then(monkeypatch, worker.store, "add", apply_some)
    await worker.count(*saws[1:])

    assert (await worker.top(query())).counts == recount(saws, query())


async def test_a_slow_process_finds_that_a_rival_has_applied_its_lines(
    worker: Ranked, rival: Ranked, lines: list[Line], monkeypatch: pytest.MonkeyPatch
):
    lines = [each for each in lines if each.root == "garden"]
    await worker.count(*lines[:20])
    then(monkeypatch, worker.store, "add", lambda: rival.count(*lines[40:]))
    await worker.count(*lines[20:40])

    await assert_exact(worker, lines)


async def test_rivals_catching_up_at_once_apply_every_line_once(
    worker: Ranked, rival: Ranked, lines: list[Line], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("services.ranking.projection.LINES_A_CALL", 5)
    await worker.count(*lines[:10])
    await worker.store.add(lines[10:])
    await asyncio.gather(worker.sweep(), rival.sweep(), worker.sweep(), rival.count(*lines[10:]))

    await assert_exact(worker, lines)


async def test_rivals_filling_at_once_leave_one_board(worker: Ranked, rival: Ranked, lines: list[Line]):
    await worker.store.add(lines)
    await asyncio.gather(worker.sweep(), rival.sweep(), rival.sweep())

    await assert_exact(worker, lines)
    assert len(await boards_of(worker, "garden")) == 1


async def test_a_slow_filler_does_not_replace_a_newer_board(worker: Ranked, rival: Ranked, monkeypatch: pytest.MonkeyPatch):
    saws = [line("saw") for _ in range(3)]
    await worker.store.add(saws[:1])

    async def overtake() -> None:
        await rival.sweep()
        await rival.count(*saws[1:])

    then(monkeypatch, worker.history, "snapshot", overtake)
    await worker.projection.fill(1, "garden")

    assert ((answer := await worker.top(query())).counts, answer.is_live) == (recount(saws, query()), LIVE)
    assert len(await boards_of(worker, "garden")) == 1


async def test_lines_counted_while_a_board_is_filled_are_not_lost(
    worker: Ranked, rival: Ranked, lines: list[Line], monkeypatch: pytest.MonkeyPatch
):
    await worker.store.add(lines[:80])
    then(monkeypatch, worker.history, "snapshot", lambda: rival.count(*lines[80:]))
    await worker.sweep()
    await worker.sweep()

    await assert_exact(worker, lines)
