"""What the boards are given: as little as says all, and at once when there is nothing to wait for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from services.ranking import following as following_module
from services.ranking.boards_wire import Step
from tests.ranked import Ranked, line, query, recount


class Slow:
    """Holds the boards' writes up until they are let through; notes the steps of each."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, worker: Ranked) -> None:
        self.calls: list[list[tuple[int, int]]] = []
        self.begun, self.open = asyncio.Event(), asyncio.Event()
        self._apply = worker.boards.apply
        monkeypatch.setattr(worker.boards, "apply", self.apply)

    async def apply(self, generation: int, steps: list[Step]) -> Any:
        self.calls.append([(step.before, step.after) for step in steps])
        self.begun.set()
        await self.open.wait()
        return await self._apply(generation, steps)


async def test_what_comes_while_redis_works_is_added_up(worker: Ranked, monkeypatch: pytest.MonkeyPatch):
    saws = [line("saw") for _ in range(6)]
    await worker.count(saws[0])
    slow = Slow(monkeypatch, worker)
    for saw in saws[1:]:
        await worker.projection.count([saw])
        await slow.begun.wait()
    slow.open.set()
    await worker.projection.settled()

    assert slow.calls == [[(1, 2)], [(2, 6)]]
    assert (await worker.top(query())).counts == recount(saws, query())


async def test_roots_go_together(worker: Ranked, monkeypatch: pytest.MonkeyPatch):
    roots = [line(category_id=f"root-{number}") for number in range(3)]
    await worker.count(*roots)
    slow = Slow(monkeypatch, worker)
    slow.open.set()
    await worker.count(*(each._replace(line_number=2) for each in roots))

    assert slow.calls == [[(1, 2)] * 3]


async def test_a_call_has_no_more_sums_than_redis_takes_at_once(worker: Ranked, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(following_module, "CELLS_A_CALL", 2)
    await worker.count(line())
    slow = Slow(monkeypatch, worker)
    for number in range(5):
        await worker.projection.count([line(f"p{number}")])
        await slow.begun.wait()
    slow.open.set()
    await worker.projection.settled()

    assert slow.calls == [[(1, 2)], [(2, 4)], [(4, 6)]]


async def test_the_truth_waits_for_boards_that_are_far_behind(worker: Ranked, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(following_module, "STEPS_AHEAD", 1)
    monkeypatch.setattr(following_module, "CELLS_A_CALL", 1)
    await worker.count(line())
    slow = Slow(monkeypatch, worker)
    for number in range(2):
        await worker.projection.count([line(f"p{number}")])
        await slow.begun.wait()
    last = asyncio.create_task(worker.projection.count([line("last")]))
    done, _ = await asyncio.wait([last], timeout=0.3)
    slow.open.set()
    await last
    await worker.projection.settled()

    assert done == set()
    assert (await worker.boards.heads(1, ["garden"]))[0].applied == 4  # type: ignore[union-attr]


async def test_lines_that_the_boards_did_not_take_are_found_by_the_sweep(worker: Ranked, monkeypatch: pytest.MonkeyPatch):
    saws = [line("saw"), line("saw")]
    await worker.count(saws[0])

    async def fail(*_: object) -> None:
        raise ValueError("no such step")

    with monkeypatch.context() as failing:
        failing.setattr(worker.boards, "apply", fail)
        await worker.count(saws[1])
    behind = (await worker.top(query())).counts
    await worker.sweep()

    assert [behind, (await worker.top(query())).counts] == [recount(saws[:1], query()), recount(saws, query())]


async def test_the_sweep_leaves_a_board_alone_that_others_are_working_on(worker: Ranked, rival: Ranked, monkeypatch: pytest.MonkeyPatch):
    saws = [line("saw") for _ in range(4)]
    await rival.count(saws[0])
    await worker.sweep()
    await rival.count(saws[1])
    await worker.store.add(saws[2:])
    await worker.sweep()
    left_alone = await worker.boards.heads(1, ["garden"])
    await worker.sweep()
    caught_up = await worker.boards.heads(1, ["garden"])

    assert [head.applied for head in (*left_alone, *caught_up) if head] == [2, 4]
