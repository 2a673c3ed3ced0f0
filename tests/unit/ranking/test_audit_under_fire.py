"""Verify and rebuild while lines come, minutes pass and readers ask; and rebuilds that die halfway."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from services.ranking import audit as audit_module
from services.ranking.model import Line
from tests.ranked import OrderLog, Ranked, every_query, line, recount
from tests.unit.ranking.shopping import shopping

QUIET = "quiet"
"""A root category that nobody orders from any more, so that there is one right answer at all times."""


class Crash(BaseException):
    """The process dies here."""


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Old versions are dropped without much waiting."""
    monkeypatch.setattr(audit_module, "GOOD_FOR_SECONDS", 0.01)
    monkeypatch.setattr(audit_module, "_LINES_AT_ONCE", 40)


class Fire:
    """Orders, readers and the passing of minutes, all the time."""

    def __init__(self, worker: Ranked, rival: Ranked) -> None:
        self.log = OrderLog([each._replace(category_id=QUIET) for each in shopping(random.Random(5), 40)], page=7)
        self.quiet = list(self.log.lines)
        self.answers = 0
        self._worker = worker
        self._rival = rival
        self._choice = random.Random(9)
        self._is_on = True

    async def order(self) -> None:
        while self._is_on:
            batch = shopping(self._choice, 4)
            self.log.lines += batch  # an order is in the log before its event is told
            await self._rival.count(*batch)
            await asyncio.sleep(0.005)

    async def pass_minutes(self) -> None:
        while self._is_on:
            await asyncio.sleep(0.2)
            for each in (self._worker, self._rival):
                each.pass_minutes(1)
            await self._rival.sweep()

    async def ask(self) -> None:
        """Every answer about the quiet root is a recount."""
        while self._is_on:
            asked = self._choice.choice(every_query(self.quiet))
            now = self._rival.minute
            answer = await self._rival.top(asked)
            if self._rival.minute == now:
                assert answer.counts == recount(self.quiet, asked, minute=now), asked
                self.answers += 1
            await asyncio.sleep(0)

    @asynccontextmanager
    async def burning(self) -> AsyncIterator[None]:
        """Raises what any of them raised."""
        await self._worker.count(*self.quiet)
        async with asyncio.TaskGroup() as group:
            for each in (self.order(), self.pass_minutes(), self.ask()):
                group.create_task(each)
            yield
            self._is_on = False
        await self._worker.sweep()


@pytest.fixture
def fire(worker: Ranked, rival: Ranked) -> Fire:
    return Fire(worker, rival)


async def assert_exact(worker: Ranked, lines: list[Line]) -> None:
    """In every window, from the boards and from history."""
    for asked in every_query(lines)[::5]:
        expected = recount(lines, asked, minute=worker.minute)
        answer = await worker.top(asked)
        assert (answer.counts, answer.is_live) == (expected, bool(expected)), asked
        assert await worker.historical(asked) == expected, asked


async def test_verify_finds_nothing_while_lines_come_and_minutes_leave(worker: Ranked, fire: Fire):
    async with fire.burning():
        reports = [await worker.audit(fire.log).verify() for _ in range(3)]

    assert [report.differences for report in reports] == [[]] * 3
    assert reports[0].lines_counted < reports[-1].lines_counted


async def test_readers_see_whole_versions_only_while_one_is_rebuilt_again_and_again(worker: Ranked, fire: Fire):
    async with fire.burning():
        generations = [(await worker.audit(fire.log).rebuild())[0] for _ in range(3)]

    assert (generations, fire.answers > 0) == ([2, 3, 4], True)
    await assert_exact(worker, fire.log.lines)


def die_after(monkeypatch: pytest.MonkeyPatch, worker: Ranked, owner: str, method: str, times: int) -> None:
    """The process that rebuilds dies once a method has been called so often, and tidies nothing up."""
    target, left = getattr(worker, owner), iter(range(times))
    original: Callable[..., Any] = getattr(target, method)

    async def dying(*args: Any, **named: Any) -> Any:
        found = await original(*args, **named)
        if next(left, None) is None:
            raise Crash
        return found

    async def nothing(generation: int) -> None:
        pass

    monkeypatch.setattr(target, method, dying)
    monkeypatch.setattr(worker.versions, "give_up", nothing)


@pytest.mark.parametrize(
    ("owner", "method", "times"),
    [
        ("versions", "open", 0),
        ("store", "add_to", 0),
        ("store", "add_to", 2),
        ("history", "roll_up", 1),
        ("boards", "fill", 0),
        ("boards", "fill", 1),
        ("versions", "flip", 0),
        ("versions", "drop_others", 0),
    ],
)
async def test_a_rebuild_that_died_anywhere_hurts_nobody_and_can_be_begun_again(
    worker: Ranked, rival: Ranked, fire: Fire, monkeypatch: pytest.MonkeyPatch, owner: str, method: str, times: int
):
    lines = shopping(random.Random(31), 120)
    log = OrderLog([*lines, *fire.quiet], page=10)
    await worker.count(*log.lines)
    die_after(monkeypatch, worker, owner, method, times)
    with pytest.raises(Crash):
        await worker.audit(log).rebuild()
    late = line("late")
    await rival.count(late)
    log.lines.append(late)
    await rival.sweep()
    await assert_exact(rival, log.lines)

    await rival.execute("UPDATE generation SET building_since = now() - interval '3 minutes'")
    generation, counted = await rival.audit(log).rebuild()
    await rival.sweep()

    assert counted == len(log.lines)
    await assert_exact(rival, log.lines)
    for table in ("lines", "roots", "rolled", "hours", "totals"):
        assert await rival.rows(f"SELECT DISTINCT generation FROM {table}") == [{"generation": generation}]
    assert {key.split(b":")[2] async for key in rival.redis.scan_iter(match="rank:*")} == {str(generation).encode()}
