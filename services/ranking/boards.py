"""The rankings' projection in Redis: boards that can be lost at any time, and that say how far they have come.

Each root category lives in one hash slot. Its head `rank:{root}:GENERATION` names the board's prefix, the position of the last line applied
(`applied`), and the last hour outside the 24-hour window (`left`). A board is a ZSET for each window, metric and category.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from redis.asyncio import RedisCluster

from services.kit.ids import uuid7
from services.kit.redis import Encodable, Script
from services.ranking.model import Amounts, Cell, Count, Metric, Query, Window, spread

T = TypeVar("T")

_LUA = Path(__file__).parent / "lua"
_APPLY, _LEAVE, _SUBTRACT, _INSTALL, _TOP, _RANK = (
    Script(f"rank {name}", (_LUA / f"{name}.lua").read_text()) for name in ("apply", "leave", "subtract", "install", "top", "rank")
)
_CHUNK = 2000
"""Cells in one call: some milliseconds of Redis's time."""

_UNFINISHED_SECONDS = 3600
"""After this, what a filler left behind that died is gone."""


@dataclass(frozen=True, slots=True)
class Head:
    """How far a board has come."""

    applied: int
    left: int
    is_leaving: bool
    """An hour is being taken out of the 24-hour window just now."""

    def shows(self, window: Window, left: int) -> bool:
        """Whether the board is the whole truth of a window, when `left` is the last hour outside of it."""
        return window is Window.ALL or (self.left == left and not self.is_leaving)


@dataclass(frozen=True, slots=True)
class Leaving:
    """An hour on its way out of the window."""

    upto: int
    """Its lines up to this position are in the window."""
    chunks_done: int


class Boards:
    """All of them. Every method raises RedisUnavailable when Redis doesn't answer."""

    def __init__(self, redis: RedisCluster) -> None:
        self._redis = redis

    async def apply(self, generation: int, root: str, before: int, after: int, sums: Mapping[Cell, Amounts]) -> int | None:
        """Adds the lines at positions before+1 … after, given as sums of leaf categories.

        Returns:
            the position applied before: `before` when they were added, otherwise nothing was; None when there is no board.
        """
        cells = [value for (category, *cell), amounts in spread(dict(sums)).items() for value in (category, *cell, *amounts)]
        return await _APPLY(self._redis, keys=[_head(generation, root)], args=[before, after, *cells])

    async def applied(self, generation: int, roots: Sequence[str]) -> list[int | None]:
        """The position that each root's board has applied; None without a board."""
        pipeline = self._redis.pipeline()
        for root in roots:
            pipeline.hget(_head(generation, root), "applied")
        return [int(value) if value is not None else None for value in await pipeline.execute()]

    async def left(self, generation: int, roots: Sequence[str]) -> list[tuple[int, bool] | None]:
        """Of each root the last hour outside the window, and whether that one is still being taken out; None without a board."""
        pipeline = self._redis.pipeline()
        for root in roots:
            pipeline.hmget(_head(generation, root), "left", "leaving")
        return [(int(left), leaving is not None) if left is not None else None for left, leaving in await pipeline.execute()]

    async def top(self, generation: int, query: Query, limit: int) -> tuple[Head, list[Count]] | None:
        """The first `limit` products and all that tie with the last of them, unsorted; None without a board."""
        answer = await _TOP(self._redis, keys=[_head(generation, query.root)], args=[*_address(query), limit])
        if answer is None:
            return None
        counts = [Count(product.decode(), *map(_whole, amounts)) for product, *amounts in _rows(answer[3:], 4)]
        return _head_from(answer), counts

    async def rank(self, generation: int, query: Query, product_id: str) -> tuple[Head, tuple[int, Count] | None] | None:
        """A product's rank from 1 and its count; None without a board, or in its place for a product that isn't on it."""
        answer = await _RANK(self._redis, keys=[_head(generation, query.root)], args=[*_address(query), product_id])
        if answer is None:
            return None
        found = (int(answer[3]), Count(product_id, *map(_whole, answer[4:7]))) if len(answer) > 3 else None
        return _head_from(answer), found

    async def fill(
        self, generation: int, root: str, *, upto: int, left: int, all_time: Mapping[Cell, Amounts], in_window: Mapping[Cell, Amounts]
    ) -> None:
        """Builds a root's board from sums of leaf categories, beside the one that is there, and puts it in its place unless that is newer.

        Args:
            upto: the position that the sums go up to.
            left: the last hour that isn't in `in_window`.
        """
        board = f"rank:{{{root}}}:{generation}:{uuid7()}"
        keys: list[str] = []
        for window, sums in ((Window.ALL, all_time), (Window.LAST_24_HOURS, in_window)):
            keys += await self._write(board, window, sums)
        for some in _chunks(keys):
            pipeline = self._redis.pipeline()
            for key in some:
                pipeline.persist(key)
            await pipeline.execute()
        lost = await _INSTALL(self._redis, keys=[_head(generation, root)], args=[board, upto, left])
        if lost is not None:
            await self._delete(f"{lost.decode()}:*")

    async def leave(self, generation: int, root: str, hour: int) -> Leaving | None:
        """Begins, or goes on, to take an hour out of the window; None when it isn't the next one."""
        answer = await _LEAVE(self._redis, keys=[_head(generation, root)], args=[hour])
        return Leaving(*answer) if answer else None

    async def subtract(self, generation: int, root: str, hour: int, leaving: Leaving, sums: Mapping[Cell, Amounts]) -> None:
        """Takes a leaving hour's sums of leaf categories out of the window, from the first chunk that isn't out yet."""
        cells = sorted(spread(dict(sums)).items())
        chunks = list(_chunks(cells)) or [[]]
        for number, chunk in enumerate(chunks):
            if number < leaving.chunks_done:
                continue
            args: list[Encodable] = [hour, number, int(number == len(chunks) - 1)]
            for (category, product, currency, _), (orders, units, revenue) in chunk:
                args += [category, product, currency, -orders, -units, -revenue]
            await _SUBTRACT(self._redis, keys=[_head(generation, root)], args=args)

    async def drop(self, generation: int) -> None:
        """Forgets the boards of a version that no longer answers."""
        await self._delete(f"rank:{{*}}:{generation}")
        await self._delete(f"rank:{{*}}:{generation}:*")

    async def _write(self, board: str, window: Window, sums: Mapping[Cell, Amounts]) -> list[str]:
        sets: dict[str, dict[str, int]] = {}
        for (category, product, currency, _), (orders, units, revenue) in spread(dict(sums)).items():
            for key, amount in (("orders", orders), ("units", units), (f"revenue-{currency}", revenue)):
                members = sets.setdefault(f"{board}:{window}:{key}:{category}", {})
                members[product] = members.get(product, 0) + amount
        written: list[str] = []
        for key, members in sets.items():
            for some in _chunks([(product, amount) for product, amount in members.items() if amount]):
                await self._redis.zadd(key, dict(some))
                written.append(key)
        for some in _chunks(written):
            pipeline = self._redis.pipeline()
            for key in some:
                pipeline.expire(key, _UNFINISHED_SECONDS)
            await pipeline.execute()
        return written

    async def _delete(self, pattern: str) -> None:
        """Deletes keys by their pattern. Goes through the whole keyspace, so it is for what happens a few times a year."""
        found: list[bytes] = []
        async for key in self._redis.scan_iter(match=pattern, count=1000):
            found.append(key)
        for some in _chunks(found):
            pipeline = self._redis.pipeline()
            for key in some:
                pipeline.unlink(key)  # pyright: ignore[reportUnusedCoroutine] (queued, not run)
            await pipeline.execute()


def _head(generation: int, root: str) -> str:
    return f"rank:{{{root}}}:{generation}"


def _address(query: Query) -> list[Encodable]:
    metric = f"revenue-{query.currency}" if query.metric is Metric.REVENUE else query.metric.value
    return [query.window.value, query.category, metric, query.currency]


def _head_from(answer: Sequence[Any]) -> Head:
    return Head(applied=int(answer[0]), left=int(answer[1]), is_leaving=bool(answer[2]))


def _whole(score: bytes) -> int:
    """Scores are doubles, exact up to 2^53."""
    return int(float(score))


def _rows(values: Sequence[T], width: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(values), width):
        yield values[start : start + width]


def _chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    yield from _rows(items, _CHUNK)
