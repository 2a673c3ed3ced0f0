"""Counting: lines into the truth, and the boards after it.

A board says which position it has applied. Whoever finds it behind brings it up from PostgreSQL, so that a redelivery, a lost write, a
fail-over to a lagging replica and an empty Redis all heal in the same way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from services.kit.clock import Clock
from services.ranking.boards import Boards
from services.ranking.following import Following
from services.ranking.model import MINUTES_IN_HOUR, ROLLING, Line, Window, lefts_at, minute_of
from services.ranking.store import RankingStore
from services.ranking.store_history import HistoryStore

LINES_A_CALL = 1000
"""Lines that a board catches up with at once: some ten milliseconds of Redis's time."""

FILL_BEYOND = 100_000
"""Further behind than so many lines, a board is filled anew from sums, which costs the same however far it is."""

_ROLL_UP_LINES = 20_000
_BUILDERS = 2
"""Roots of a new version that are worked on at once: one in PostgreSQL while another goes to Redis."""

_HOURS_KEPT = 24
"""How long sums by hour are kept once no window reads them."""


class Projection:
    """Counts lines, and keeps the boards on the heels of the truth."""

    def __init__(self, store: RankingStore, history: HistoryStore, boards: Boards, clock: Clock) -> None:
        self._store = store
        self._history = history
        self._boards = boards
        self._clock = clock
        self._following = Following(boards, self._catch_up)
        self._seen: dict[tuple[int, str], int] = {}
        """What each board had applied at the last sweep."""

    async def count(self, lines: Sequence[Line]) -> None:
        """Counts lines once, however often they come. Once this returns they are in the truth; the boards follow now or within seconds."""
        await self._following.take(await self._store.add(lines))

    async def settled(self) -> None:
        """Waits until the boards have all that was counted here, or can't have it now."""
        await self._following.settled()

    async def sweep(self, generation: int) -> None:
        """Brings every board of a version up to the truth: lines that it misses, minutes that have left its windows.

        A board that is behind but has come further since the last sweep has somebody who works on it, here or elsewhere.
        """
        positions = await self._store.positions(generation)
        lefts = lefts_at(minute_of(self._clock()))
        for (root, position), head in zip(positions.items(), await self._boards.heads(generation, [*positions]), strict=True):
            applied = head.applied if head else None
            is_stuck = applied is None or (applied < position and applied <= self._seen.get((generation, root), applied))
            if is_stuck and not self._following.is_on(generation, root):
                await self._catch_up(generation, root, applied, position)
            self._seen[generation, root] = applied or 0
            for window in (window for window in ROLLING if head and (window in head.leaving or head.lefts[window] < lefts[window])):
                await self._leave(generation, root, window, lefts[window])

    async def roll_up(self, generation: int) -> None:
        """Adds lines to the sums that history is read from."""
        for root in await self._store.positions(generation):
            while await self._history.roll_up(generation, root, _ROLL_UP_LINES):
                pass

    async def build(self, generation: int) -> None:
        """Rolls a version up whose lines are all there, and fills its boards."""
        roots = iter(await self._store.positions(generation))

        async def work() -> None:
            for root in roots:
                while await self._history.roll_up(generation, root, _ROLL_UP_LINES):
                    pass
                await self.fill(generation, root)

        workers = [asyncio.create_task(work()) for _ in range(_BUILDERS)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()

    async def forget_hours(self) -> None:
        """Drops sums by hour that have been out of every window for a day."""
        oldest = min(lefts_at(minute_of(self._clock())).values())
        await self._history.forget_hours(oldest // MINUTES_IN_HOUR - _HOURS_KEPT)

    async def fill(self, generation: int, root: str) -> None:
        """Builds a root's board from nothing."""
        lefts = lefts_at(minute_of(self._clock()))
        if found := await self._history.snapshot(generation, root, lefts):
            await self._boards.fill(generation, root, upto=found.position, lefts=lefts, sums=found.sums)

    async def _catch_up(self, generation: int, root: str, applied: int | None, upto: int) -> None:
        """Applies the lines that a board misses. Rivals may do the same: each step counts only on the position that it was made for."""
        while applied is not None and applied < upto <= applied + FILL_BEYOND:
            step = self._boards.step(generation, root, applied)
            step.add(await self._store.lines_between(generation, root, applied, min(applied + LINES_A_CALL, upto)))
            [applied] = await self._boards.apply(generation, [step])
        if applied is None or applied < upto:
            await self.fill(generation, root)

    async def _leave(self, generation: int, root: str, window: Window, left: int) -> None:
        """Takes minutes out of a board's window until it ends where it should. Rivals may do the same."""
        while leaving := await self._boards.leave(generation, root, window, left):
            sums = await self._store.sums(generation, root, upto=leaving.position, after=leaving.after, until=leaving.upto)
            await self._boards.subtract(generation, root, leaving, sums)
