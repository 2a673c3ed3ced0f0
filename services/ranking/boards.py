"""The rankings' projection in Redis: boards that can be lost at any time, and that say how far they have come.

Each root category lives in one hash slot. Its head `rank:{root}:GENERATION` names the board's prefix, the position of the last line applied
(`applied`), and the last hour outside the 24-hour window (`left`). A board is a ZSET for each window, metric and category.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import structlog
from redis.asyncio import RedisCluster
from redis.exceptions import NoScriptError, RedisError

from services.kit.ids import uuid7
from services.kit.redis import RedisUnavailable, Script
from services.ranking.model import Amounts, Cell, Count, Metric, Query, Window, chunks, spread, tally

_LUA = Path(__file__).parent / "lua"
_APPLY, _LEAVE, _SUBTRACT, _INSTALL, _TOP, _RANK, _READ = (
    Script(f"rank {name}", (_LUA / f"{name}.lua").read_text()) for name in ("apply", "leave", "subtract", "install", "top", "rank", "read")
)
CELLS_A_CALL = 2000
"""Some milliseconds of Redis's time."""

AWAY_SECONDS = 1.0
"""After Redis hasn't answered, nobody asks it for so long: a frozen one would cost each caller seconds."""

_ANSWER_SECONDS = 0.5
"""How long a reader waits before history has to answer."""

_UNFINISHED_SECONDS = 3600
"""After this, what a filler left behind that died is gone."""

_log = structlog.get_logger("bazaar.ranking")


@dataclass(frozen=True, slots=True)
class Head:
    """How far a board has come."""

    applied: int
    left: int
    """The last hour that is outside its 24-hour window."""
    is_leaving: bool
    """Hours are being taken out of the 24-hour window just now."""

    def shows(self, window: Window, left: int) -> bool:
        """Whether the board is the whole truth of a window, when `left` is the last hour outside of it."""
        return window is Window.ALL or (self.left == left and not self.is_leaving)


@dataclass(frozen=True, slots=True)
class Step:
    """Lines at positions before+1 … after of a root, as sums of leaf categories."""

    root: str
    before: int
    after: int
    sums: Mapping[Cell, Amounts]


@dataclass(frozen=True, slots=True)
class Leaving:
    """Hours on their way out of a board's window."""

    board: str
    after: int
    """The last hour that is out already."""
    upto: int
    """The last hour that has to go."""
    position: int
    """Their lines up to this position are in the window."""
    cells_done: int


class Boards:
    """All of them. Every method raises RedisUnavailable when Redis doesn't answer, or hasn't a moment ago."""

    def __init__(self, redis: RedisCluster) -> None:
        self._redis = redis
        self._away_until = float("-inf")

    async def apply(self, generation: int, steps: Sequence[Step]) -> list[int | None]:
        """Adds lines to the boards that wait for them; steps of one root are taken in order.

        Returns:
            for each step the position applied before it: its `before` when the lines were added, otherwise nothing was; None when there is
            no board.
        """
        runs = [([_head(generation, step.root)], [step.before, step.after, _packed(spread(step.sums).items())]) for step in steps]
        pipeline = self._redis.pipeline()
        for keys, args in runs:
            _APPLY.queue(pipeline, keys=keys, args=args)
        async with self._asking():
            answers = await pipeline.execute(raise_on_error=False)
            return [await self._answer(answer, keys, args) for answer, (keys, args) in zip(answers, runs, strict=True)]

    async def heads(self, generation: int, roots: Sequence[str]) -> list[Head | None]:
        """How far each root's board has come; None without a board."""
        pipeline = self._redis.pipeline()
        for root in roots:
            pipeline.hmget(_head(generation, root), "applied", "left", "leaving_after", "torn")  # pyright: ignore[reportUnusedCoroutine] (queued)
        async with self._asking():
            return [_head_from(fields) if fields[0] and not fields[3] else None for fields in await pipeline.execute()]

    async def top(self, generation: int, query: Query, limit: int) -> tuple[Head, list[Count]] | None:
        """The first `limit` products, unsorted; None without a board."""
        async with self._asking(_ANSWER_SECONDS):
            answer = await _TOP(self._redis, keys=[_head(generation, query.root)], args=[*_address(query), limit])
        if answer is None:
            return None
        return _head_from(answer), [Count(product.decode(), *map(_whole, amounts)) for product, *amounts in chunks(answer[3:], 4)]

    async def rank(self, generation: int, query: Query, product_id: str) -> tuple[Head, tuple[int, Count] | None] | None:
        """A product's rank from 1 and its count; None without a board, or in its place for a product that isn't ranked."""
        async with self._asking(_ANSWER_SECONDS):
            answer = await _RANK(self._redis, keys=[_head(generation, query.root)], args=[*_address(query), product_id])
        if answer is None:
            return None
        found = (int(answer[3]), Count(product_id, *map(_whole, answer[4:7]))) if len(answer) > 3 else None
        return _head_from(answer), found

    async def read(self, generation: int, query: Query) -> tuple[Head, dict[str, int]] | None:
        """Every product's amount of one metric, in no order; None without a board."""
        window, category, metric, _ = _address(query)
        async with self._asking():
            answer = await _READ(self._redis, keys=[_head(generation, query.root)], args=[window, category, metric])
        if answer is None:
            return None
        return _head_from(answer), {product.decode(): _whole(amount) for product, amount in chunks(answer[3:], 2)}

    async def fill(
        self, generation: int, root: str, *, upto: int, left: int, all_time: Mapping[Cell, Amounts], in_window: Mapping[Cell, Amounts]
    ) -> None:
        """Builds a root's board from sums of leaf categories, beside the one that is there, and puts it in its place unless that is newer.

        Args:
            upto: the position that the sums go up to.
            left: the last hour that isn't in `in_window`.
        """
        board = f"rank:{{{root}}}:{generation}:{uuid7()}"
        async with self._asking():
            keys = await self._write(board, {Window.ALL: all_time, Window.LAST_24_HOURS: in_window})
            for some in chunks(keys, CELLS_A_CALL):
                await self._each(some, "PERSIST")
            loser = await _INSTALL(self._redis, keys=[_head(generation, root)], args=[board, upto, left])
            if loser is not None:
                await self._unlink([key async for key in self._redis.scan_iter(match=f"{loser.decode()}:*", count=1000)])

    async def leave(self, generation: int, root: str, left: int) -> Leaving | None:
        """Begins to take all hours up to `left` out of the window, or goes on with what was begun; None when all are out."""
        async with self._asking():
            answer = await _LEAVE(self._redis, keys=[_head(generation, root)], args=[left])
        return Leaving(answer[0].decode(), *answer[1:]) if answer else None

    async def subtract(self, generation: int, root: str, leaving: Leaving, sums: Mapping[Cell, Amounts]) -> None:
        """Takes the sums of leaf categories of leaving hours out of the window; ends early when a rival does the same."""
        cells = [(cell, (-orders, -units, -revenue)) for cell, (orders, units, revenue) in sorted(spread(sums).items())]
        before = leaving.cells_done
        while True:
            after = min(before + CELLS_A_CALL, len(cells))
            is_last = after == len(cells)
            args = [leaving.board, leaving.upto, before, after, int(is_last), _packed(cells[before:after])]
            async with self._asking():
                is_out = await _SUBTRACT(self._redis, keys=[_head(generation, root)], args=args)
            if is_last or not is_out:
                return
            before = after

    async def keep_only(self, generations: Sequence[int]) -> None:
        """Forgets the boards of all other versions. Goes through the whole keyspace, so it is for what happens a few times a year."""
        async with self._asking():
            await self._unlink(
                [key async for key in self._redis.scan_iter(match="rank:{*", count=1000) if _generation_of(key) not in generations]
            )

    async def _answer(self, answer: Any, keys: list[str], args: list[int | bytes]) -> int | None:
        if isinstance(answer, NoScriptError):
            return await _APPLY(self._redis, keys=keys, args=args)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def _write(self, board: str, windows: Mapping[Window, Mapping[Cell, Amounts]]) -> list[str]:
        """Writes the ZSETs of a board that isn't anybody's yet; returns their keys."""
        sets: dict[str, dict[str, int]] = {}
        for window, sums in windows.items():
            for (category, metric, currency), amounts in tally(sums).items():
                sets[f"{board}:{window}:{_name(metric, currency)}:{category}"] = amounts
        entries = [(key, product, amount) for key, amounts in sets.items() for product, amount in amounts.items() if amount]
        for some in chunks(entries, CELLS_A_CALL):
            await self._add(some)
        return list(sets)

    async def _add(self, entries: Sequence[tuple[str, str, int]]) -> None:
        pipeline = self._redis.pipeline()
        members: dict[str, dict[str, int]] = {}
        for key, product, amount in entries:
            members.setdefault(key, {})[product] = amount
        for key, some in members.items():
            pipeline.execute_command("ZADD", key, *(value for product, amount in some.items() for value in (amount, product)))
            pipeline.execute_command("EXPIRE", key, _UNFINISHED_SECONDS)
        await pipeline.execute()

    async def _unlink(self, keys: Sequence[bytes]) -> None:
        for some in chunks(keys, CELLS_A_CALL):
            await self._each(some, "UNLINK")

    async def _each(self, keys: Sequence[str | bytes], command: str) -> None:
        pipeline = self._redis.pipeline()
        for key in keys:
            pipeline.execute_command(command, key)
        await pipeline.execute()

    @asynccontextmanager
    async def _asking(self, seconds: float | None = None) -> AsyncGenerator[None]:
        """Whatever goes wrong with Redis is one thing to callers: the boards are away."""
        if time.monotonic() < self._away_until:
            raise RedisUnavailable("Redis didn't answer a moment ago")
        try:
            async with asyncio.timeout(seconds):
                yield
        except (RedisError, TimeoutError) as error:
            self._away_until = time.monotonic() + AWAY_SECONDS
            _log.warning("the boards are away", error=f"{type(error).__name__}: {error}")
            raise RedisUnavailable("Redis does not answer") from error


def _head(generation: int, root: str) -> str:
    return f"rank:{{{root}}}:{generation}"


def _packed(cells: Iterable[tuple[Cell, Amounts]]) -> bytes:
    """Cells as apply.lua takes them: one argument, because each costs the client as much as a line costs Redis."""
    groups: dict[tuple[str, str], list[str | int]] = {}
    for (category, product, currency, hour), amounts in cells:
        groups.setdefault((category, currency), []).extend((product, hour, *amounts))
    packed: list[str | int] = []
    for (category, currency), rows in groups.items():
        packed += (category, currency, len(rows) // 5)
        packed += rows
    return orjson.dumps(packed)


def _generation_of(key: bytes) -> int:
    """Of a head's or a board's key. A root may be anything that orders said, but has no colon."""
    return int(key.split(b":", 3)[2])


def _address(query: Query) -> tuple[str, str, str, str]:
    return query.window.value, query.category, _name(query.metric, query.currency), query.currency


def _name(metric: Metric, currency: str) -> str:
    return f"revenue-{currency}" if metric is Metric.REVENUE else metric.value


def _head_from(answer: Sequence[Any]) -> Head:
    """From applied, left, and whether hours are leaving: 0 or 1, or the field that says since when."""
    return Head(applied=int(answer[0]), left=int(answer[1]), is_leaving=answer[2] not in (None, 0))


def _whole(score: bytes) -> int:
    """Scores are doubles, exact up to 2^53."""
    return int(float(score))
