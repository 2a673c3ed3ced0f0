"""Counting: lines into the truth, and the boards after it.

A board says which position it has applied. Whoever finds it behind brings it up from PostgreSQL, so that a redelivery, a lost write, a
fail-over to a lagging replica and an empty Redis all heal in the same way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from operator import attrgetter

from services.kit.clock import Clock
from services.kit.redis import RedisUnavailable
from services.ranking.boards import Boards, Step
from services.ranking.model import HOURS_IN_WINDOW, Line, add_up, chunks, hour_of, left_at
from services.ranking.store import Added, RankingStore
from services.ranking.store_history import HistoryStore

LINES_A_CALL = 1000
"""Lines that go to Redis at once: some ten milliseconds of its time."""

FILL_BEYOND = 100_000
"""Further behind than so many lines, a board is filled anew from sums, which costs the same however far it is."""

_ROLL_UP_LINES = 20_000


class Projection:
    """Counts lines, and keeps the boards on the heels of the truth."""

    def __init__(self, store: RankingStore, history: HistoryStore, boards: Boards, clock: Clock) -> None:
        self._store = store
        self._history = history
        self._boards = boards
        self._clock = clock

    async def count(self, lines: Sequence[Line]) -> None:
        """Counts lines once, however often they come. Once this returns they are in the truth; the boards follow now or within seconds."""
        added = await self._store.add(lines)
        with suppress(RedisUnavailable):  # the sweep brings the boards up to date
            for generation, items in groupby(added, key=attrgetter("generation")):
                await self._follow(generation, list(items))

    async def sweep(self, generation: int) -> None:
        """Brings every board of a version up to the truth: lines that it misses, hours that have left its window."""
        positions = await self._store.positions(generation)
        left = left_at(hour_of(self._clock()))
        for (root, position), head in zip(positions.items(), await self._boards.heads(generation, [*positions]), strict=True):
            if head is None or head.applied < position:
                await self._catch_up(generation, root, head.applied if head else None, position)
            if head and (head.is_leaving or head.left < left):
                await self._leave(generation, root, left)

    async def roll_up(self, generation: int) -> None:
        """Adds lines to the sums that history is read from."""
        for root in await self._store.positions(generation):
            while await self._history.roll_up(generation, root, _ROLL_UP_LINES):
                pass

    async def forget_hours(self) -> None:
        """Drops sums by hour that are out of the window, a day later."""
        await self._history.forget_hours(hour_of(self._clock()) - 2 * HOURS_IN_WINDOW)

    async def fill(self, generation: int, root: str) -> None:
        """Builds a root's board from nothing."""
        left = left_at(hour_of(self._clock()))
        if sums := await self._history.snapshot(generation, root, left=left):
            await self._boards.fill(generation, root, upto=sums.position, left=left, all_time=sums.all_time, in_window=sums.in_window)

    async def _follow(self, generation: int, added: Sequence[Added]) -> None:
        """Adds to a version's boards what was just added to the truth."""
        steps = [step for item in added for step in _steps(item)]
        last = {step.root: (step, applied) for step, applied in zip(steps, await self._boards.apply(generation, steps), strict=True)}
        for step, applied in last.values():
            is_behind = applied is None or (applied != step.before and applied < step.after)
            # A version that is being built gets its boards at the end.
            if is_behind and added[0].is_live:
                await self._catch_up(generation, step.root, applied, step.after)

    async def _catch_up(self, generation: int, root: str, applied: int | None, upto: int) -> None:
        """Applies the lines that a board misses. Rivals may do the same: each step counts only on the position that it was made for."""
        while applied is not None and applied < upto <= applied + FILL_BEYOND:
            end = min(applied + LINES_A_CALL, upto)
            lines = await self._store.lines_between(generation, root, applied, end)
            [found] = await self._boards.apply(generation, [Step(root, applied, end, add_up(lines))])
            applied = end if found == applied else found
        if applied is None or applied < upto:
            await self.fill(generation, root)

    async def _leave(self, generation: int, root: str, left: int) -> None:
        """Takes hours out of a board's 24-hour window until it ends where it should. Rivals may do the same."""
        while leaving := await self._boards.leave(generation, root, left):
            sums = await self._store.sums(generation, root, upto=leaving.position, after=leaving.after, until=leaving.upto)
            await self._boards.subtract(generation, root, leaving, sums)


def _steps(added: Added) -> Iterator[Step]:
    """At least one, because a repeat too shows whether its board is behind."""
    before = added.before
    for lines in list(chunks(added.lines, LINES_A_CALL)) or [[]]:
        yield Step(added.root, before, before + len(lines), add_up(lines))
        before += len(lines)
