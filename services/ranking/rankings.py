"""Answers who is first: from the boards while they show the whole truth, else from history. Both say the same."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime

from services.kit.clock import Clock
from services.kit.redis import RedisUnavailable
from services.kit.values import value
from services.ranking.boards import Boards
from services.ranking.model import Count, ProductNotRanked, Query, minute_of, top
from services.ranking.store_history import HistoryStore


@value
class Answer:
    """Counts in rank order."""

    counts: list[Count]
    is_live: bool
    """From the boards; else counted from history, which is as exact."""
    as_of: datetime


class Rankings:
    """What readers ask.

    Args:
        generation: gives the number of the version that answers.
    """

    def __init__(self, history: HistoryStore, boards: Boards, generation: Callable[[], Awaitable[int]], clock: Clock) -> None:
        self._history = history
        self._boards = boards
        self._generation = generation
        self._clock = clock

    async def top(self, query: Query, limit: int) -> Answer:
        """The first `limit` products; from history when the boards are away, have minutes to take out, or know none."""
        now, generation = self._clock(), await self._generation()
        try:
            found = await self._boards.top(generation, query, limit)
        except RedisUnavailable:
            found = None
        if found and found[0].shows(query.window, query.window.left_at(minute_of(now))) and found[1]:
            return Answer(top(found[1], query.metric, limit), is_live=True, as_of=now)
        return Answer(await self._history.top(generation, query, minute=minute_of(now), limit=limit), is_live=False, as_of=now)

    async def rank(self, query: Query, product_id: str) -> tuple[int, Answer]:
        """A product's rank from 1, and its count.

        Raises:
            ProductNotRanked: nobody ordered it there.
        """
        now, generation = self._clock(), await self._generation()
        try:
            found = await self._boards.rank(generation, query, product_id)
        except RedisUnavailable:
            found = None
        if found and found[0].shows(query.window, query.window.left_at(minute_of(now))) and found[1]:
            rank, count = found[1]
            return rank, Answer([count], is_live=True, as_of=now)
        historical = await self._history.rank(generation, query, product_id, minute=minute_of(now))
        if historical is None:
            raise ProductNotRanked("Nobody has ordered this product there.", category=query.category, product_id=product_id)
        rank, count = historical
        return rank, Answer([count], is_live=False, as_of=now)
