"""The rankings as one thing: the truth in PostgreSQL, the boards in Redis, and how the second follows the first.

A board says which position it has applied. Whoever finds it behind brings it up from PostgreSQL, so that a redelivery, a lost write, a
fail-over to a lagging replica and an empty Redis all heal in the same way; a reader who can't be sure of a board asks PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from services.kit.clock import Clock
from services.kit.redis import RedisUnavailable
from services.ranking.boards import Boards
from services.ranking.generation import LiveGeneration
from services.ranking.model import HOURS_IN_WINDOW, Count, Line, ProductNotRanked, Query, add_up, hour_of, left_at, top
from services.ranking.store import Added, Hours, RankingStore

_CATCH_UP_LINES = 5000
"""Further behind than a few of these, a board is filled anew from sums, which costs the same however far it is."""

_FILL_BEYOND = 20 * _CATCH_UP_LINES
_ROLL_UP_LINES = 20_000
_HOURS_KEPT = 24 * 32
_log = structlog.get_logger("bazaar.ranking")


@dataclass(frozen=True, slots=True)
class Answer:
    """Counts in rank order."""

    counts: list[Count]
    is_live: bool
    """From the boards; else counted from history, which is as exact."""
    as_of: datetime


class Rankings:
    """Counts lines, and answers who is first."""

    def __init__(self, store: RankingStore, boards: Boards, generation: LiveGeneration, clock: Clock) -> None:
        self._store = store
        self._boards = boards
        self._generation = generation
        self._clock = clock

    async def count(self, lines: Sequence[Line]) -> None:
        """Counts lines once, however often they come. Once this returns they are in the truth; the boards follow now or within seconds."""
        added = await self._store.add(lines)
        try:
            for item in added:
                await self._apply(item)
        except RedisUnavailable:
            _log.warning("the boards are away; the sweep brings them up to date", roots=len(added))

    async def top(self, query: Query, limit: int) -> Answer:
        """The first `limit` products; from history when the boards are away, behind an hour's change, or know none."""
        now = self._clock()
        generation = await self._generation.current()
        try:
            found = await self._boards.top(generation, query, limit)
        except RedisUnavailable:
            found = None
        if found and found[0].shows(query.window, left_at(hour_of(now))) and (counts := top(found[1], query.metric, limit)):
            return Answer(counts, is_live=True, as_of=now)
        return Answer(await self._store.top(generation, query, hour=hour_of(now), limit=limit), is_live=False, as_of=now)

    async def rank(self, query: Query, product_id: str) -> tuple[int, Answer]:
        """A product's rank from 1, and its count.

        Raises:
            ProductNotRanked: nobody ordered it there.
        """
        now = self._clock()
        generation = await self._generation.current()
        try:
            found = await self._boards.rank(generation, query, product_id)
        except RedisUnavailable:
            found = None
        if found and found[0].shows(query.window, left_at(hour_of(now))) and found[1] and found[1][1].orders > 0:
            return found[1][0], Answer([found[1][1]], is_live=True, as_of=now)
        historical = await self._store.rank(generation, query, product_id, hour=hour_of(now))
        if historical is None:
            raise ProductNotRanked("Nobody has ordered this product there.", category=query.category, product_id=product_id)
        return historical[0], Answer([historical[1]], is_live=False, as_of=now)

    async def sweep(self, generation: int) -> None:
        """Brings every board of a version up to the truth: lines that it misses, hours that have left its window."""
        positions = await self._store.positions(generation)
        roots = sorted(positions)
        for root, applied in zip(roots, await self._boards.applied(generation, roots), strict=True):
            if applied is None or applied < positions[root]:
                await self._catch_up(generation, root, applied, positions[root])
        for root, at in zip(roots, await self._boards.left(generation, roots), strict=True):
            if at is not None:
                await self._leave(generation, root, *at)

    async def roll_up(self, generation: int) -> None:
        """Adds lines to the sums that history is read from."""
        for root in await self._store.positions(generation):
            while await self._store.roll_up(generation, root, _ROLL_UP_LINES):
                pass
        await self._store.forget_hours(hour_of(self._clock()) - _HOURS_KEPT)

    async def fill(self, generation: int, root: str, upto: int) -> None:
        """Builds a root's board from nothing."""
        left = left_at(hour_of(self._clock()))
        all_time = await self._store.sums(generation, root, upto=upto)
        in_window = await self._store.sums(generation, root, upto=upto, of=Hours.AFTER, hour=left)
        await self._boards.fill(generation, root, upto=upto, left=left, all_time=all_time, in_window=in_window)

    async def _apply(self, added: Added) -> None:
        applied = await self._boards.apply(added.generation, added.root, added.before, added.after, add_up(added.lines))
        if applied is None or applied < added.before:
            await self._catch_up(added.generation, added.root, applied, added.after)

    async def _catch_up(self, generation: int, root: str, applied: int | None, upto: int) -> None:
        """Applies the lines that a board misses. Rivals may do the same: each step counts only on the position that it was made for."""
        while applied is not None and applied < upto:
            if upto - applied > _FILL_BEYOND:
                break
            chunk_end = min(applied + _CATCH_UP_LINES, upto)
            lines = await self._store.lines_between(generation, root, applied, chunk_end)
            found = await self._boards.apply(generation, root, applied, chunk_end, add_up(lines))
            applied = chunk_end if found == applied else found
        if applied is None or applied < upto:
            await self.fill(generation, root, upto)

    async def _leave(self, generation: int, root: str, left: int, is_leaving: bool) -> None:
        """Takes hours out of a board's 24-hour window until the window ends now."""
        wanted = left_at(hour_of(self._clock()))
        if wanted - left > HOURS_IN_WINDOW:
            await self.fill(generation, root, (await self._store.positions(generation))[root])
            return
        for hour in range(left if is_leaving else left + 1, wanted + 1):
            leaving = await self._boards.leave(generation, root, hour)
            if leaving is None:
                return
            sums = await self._store.sums(generation, root, upto=leaving.upto, of=Hours.AT, hour=hour)
            await self._boards.subtract(generation, root, hour, leaving, sums)
