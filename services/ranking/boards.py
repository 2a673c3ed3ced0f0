"""The rankings' projection in Redis: boards that can be lost at any time, and that say how far they have come.

Each root category lives in one hash slot. Its head `rank:{root}:GENERATION:head` names the board's prefix, the position of the last line
applied (`applied`), and the last minute outside of each rolling window (`left:WINDOW`). A board is a ZSET for each window, metric and
category.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import structlog
from redis.asyncio import RedisCluster
from redis.exceptions import NoScriptError, RedisError

from services.kit.ids import uuid7
from services.kit.redis import RedisUnavailable, Script
from services.ranking.boards_wire import Head, Leaving, Step, address, counted, head_of, packed, whole, whole_head
from services.ranking.model import ROLLING, Amounts, Cell, Count, Lefts, Metric, Query, Window, chunks, spread

_LUA = Path(__file__).parent / "lua"


def _script(name: str, *before: str) -> Script:
    return Script(f"rank {name}", "".join((_LUA / f"{part}.lua").read_text() for part in (*before, name)))


_APPLY, _SUBTRACT = _script("apply", "add"), _script("subtract", "add")
_FILL, _LEAVE, _INSTALL, _EACH = _script("fill", "add"), _script("leave"), _script("install"), _script("each")
_TOP, _RANK, _READ = _script("top", "open"), _script("rank", "open"), _script("read", "open")

CELLS_A_CALL = 2000
"""Some milliseconds of Redis's time."""

AWAY_SECONDS = 1.0
"""After Redis hasn't answered, nobody asks it for so long: a frozen one would cost each caller seconds."""

_ANSWER_SECONDS = 0.5
"""How long a reader waits before history has to answer."""

_UNFINISHED_SECONDS = 3600
"""After this, what a filler left behind that died is gone."""

_log = structlog.get_logger("bazaar.ranking")


class Boards:
    """All of them. Every method raises RedisUnavailable when Redis doesn't answer, or hasn't a moment ago."""

    def __init__(self, redis: RedisCluster) -> None:
        self._redis = redis
        self._away_until = float("-inf")
        self._lefts: dict[str, Lefts] = {}
        """Where each board's windows ended when it was last written to, by head; a script that finds them elsewhere does nothing."""

    def step(self, generation: int, root: str, before: int) -> Step:
        """An empty step after a position, for lines to be told apart by where the board's windows end as far as is known."""
        return Step(root, before, before, self._lefts.get(_head(generation, root), {}))

    async def apply(self, generation: int, steps: Sequence[Step]) -> list[int | None]:
        """Adds lines to the boards that wait for them; steps of one root are taken in order.

        Returns:
            for each step the position that its board has applied now: below its `after` when the board waits for other lines, or its
            windows end elsewhere by now (a new step for the same lines will know where); None without a board.
        """
        pipeline = self._redis.pipeline()
        runs = [_run(generation, step) for step in steps]
        for keys, args in runs:
            _APPLY.queue(pipeline, keys=keys, args=args)
        async with self._asking():
            answers = await pipeline.execute(raise_on_error=False)
            answers = [await self._answer(answer, *run) for answer, run in zip(answers, runs, strict=True)]
        for ([head], _), answer in zip(runs, answers, strict=True):
            if answer:
                self._lefts[head] = dict(zip(ROLLING, answer[2:], strict=True))
        return [_applied(step, answer) for step, answer in zip(steps, answers, strict=True)]

    async def heads(self, generation: int, roots: Sequence[str]) -> list[Head | None]:
        """How far each root's board has come; None without a board."""
        pipeline = self._redis.pipeline()
        fields = [f"{field}:{window}" for field in ("left", "after") for window in ROLLING]
        for root in roots:
            pipeline.hmget(_head(generation, root), "applied", "torn", *fields)  # pyright: ignore[reportUnusedCoroutine] (queued)
        async with self._asking():
            return [whole_head(applied, torn, values) for applied, torn, *values in await pipeline.execute()]

    async def top(self, generation: int, query: Query, limit: int) -> tuple[Head, list[Count]] | None:
        """The first `limit` products, unsorted; None without a board."""
        async with self._asking(_ANSWER_SECONDS):
            answer = await _TOP(self._redis, keys=[_head(generation, query.root)], args=[*address(query), limit])
        if answer is None:
            return None
        return head_of(query, answer), [Count(product.decode(), *map(whole, amounts)) for product, *amounts in chunks(answer[3:], 4)]

    async def rank(self, generation: int, query: Query, product_id: str) -> tuple[Head, tuple[int, Count] | None] | None:
        """A product's rank from 1 and its count; None without a board, or in its place for a product that isn't ranked."""
        async with self._asking(_ANSWER_SECONDS):
            answer = await _RANK(self._redis, keys=[_head(generation, query.root)], args=[*address(query), product_id])
        if answer is None:
            return None
        found = (int(answer[3]), Count(product_id, *map(whole, answer[4:7]))) if len(answer) > 3 else None
        return head_of(query, answer), found

    async def read(self, generation: int, query: Query) -> tuple[Head, dict[str, int]] | None:
        """Every product's amount of one metric, in no order; None without a board."""
        window, category, metric, _ = address(query)
        async with self._asking():
            answer = await _READ(self._redis, keys=[_head(generation, query.root)], args=[window, category, metric])
        if answer is None:
            return None
        return head_of(query, answer), {product.decode(): whole(amount) for product, amount in chunks(answer[3:], 2)}

    async def fill(self, generation: int, root: str, *, upto: int, lefts: Lefts, sums: Mapping[Window, Mapping[Cell, Amounts]]) -> None:
        """Builds a root's board from sums of leaf categories, beside the one that is there, and puts it in its place unless that is newer.

        Args:
            upto: the position that the sums go up to.
            lefts: the last minutes that aren't in them.
        """
        board = f"rank:{{{root}}}:{generation}:{uuid7()}"
        fields = [value for window, left in lefts.items() for value in (f"left:{window}", left)]
        async with self._asking():
            await self._each("PERSIST", await self._write(_head(generation, root), board, sums))
            self._lefts[_head(generation, root)] = lefts
            loser = await _INSTALL(self._redis, keys=[_head(generation, root)], args=[board, upto, *fields])
            if loser is not None:
                await self._each("UNLINK", [key.decode() async for key in self._redis.scan_iter(match=f"{loser.decode()}:*", count=1000)])

    async def leave(self, generation: int, root: str, window: Window, left: int) -> Leaving | None:
        """Begins to take all minutes up to `left` out of a window, or goes on with what was begun; None when all are out."""
        async with self._asking():
            answer = await _LEAVE(self._redis, keys=[_head(generation, root)], args=[window.value, left])
        return Leaving(window, answer[0].decode(), *answer[1:]) if answer else None

    async def subtract(self, generation: int, root: str, leaving: Leaving, sums: Mapping[Cell, Amounts]) -> None:
        """Takes the sums of leaf categories of leaving minutes out of the window; ends early when a rival does the same."""
        cells = [(cell, (-orders, -units, -revenue)) for cell, (orders, units, revenue) in sorted(spread(sums).items())]
        before = leaving.cells_done
        while True:
            after = min(before + CELLS_A_CALL, len(cells))
            is_last = after == len(cells)
            chunk = orjson.dumps(packed(cells[before:after], (leaving.window,)))
            args = [leaving.window.value, leaving.board, leaving.upto, before, after, int(is_last), chunk]
            async with self._asking():
                is_out = await _SUBTRACT(self._redis, keys=[_head(generation, root)], args=args)
            if is_last or not is_out:
                return
            before = after

    async def keep_only(self, generations: Sequence[int]) -> None:
        """Forgets the boards of all other versions. Goes through the whole keyspace, so it is for what happens a few times a year."""
        async with self._asking():
            keys = [key.decode() async for key in self._redis.scan_iter(match="rank:{*", count=1000)]
            await self._each("UNLINK", [key for key in keys if _generation_of(key) not in generations])

    async def _answer(self, answer: Any, keys: list[str], args: list[int | str | bytes]) -> list[int] | None:
        if isinstance(answer, NoScriptError):
            return await _APPLY(self._redis, keys=keys, args=args)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def _write(self, head: str, board: str, windows: Mapping[Window, Mapping[Cell, Amounts]]) -> list[str]:
        """Writes the ZSETs of a board that isn't anybody's yet; returns their keys."""
        keys: dict[str, None] = {}
        for window, sums in windows.items():
            cells = list(spread(sums).items())
            for some in chunks(cells, CELLS_A_CALL):
                await _FILL(self._redis, keys=[head], args=[board, _UNFINISHED_SECONDS, orjson.dumps(packed(some, (window,)))])
            names = {(category, counted(metric, currency)) for (category, _, currency, _), _ in cells for metric in Metric}
            keys.update(dict.fromkeys(f"{board}:{window}:{name}:{category}" for category, name in names))
        return list(keys)

    async def _each(self, command: str, keys: Iterable[str]) -> None:
        """Runs a command on keys, which name their roots."""
        by_root: dict[str, list[str]] = {}
        for key in keys:
            by_root.setdefault(key.split(":", 2)[1], []).append(key)
        for some in [some for names in by_root.values() for some in chunks(names, CELLS_A_CALL)]:
            await _EACH(self._redis, keys=[some[0]], args=[command, orjson.dumps(some)])

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
    return f"rank:{{{root}}}:{generation}:head"


def _run(generation: int, step: Step) -> tuple[list[str], list[int | str | bytes]]:
    """Keys and arguments of apply.lua. Without knowing where the windows end, it can only be asked."""
    ends = [value for window in ROLLING for value in (window.value, step.lefts.get(window, ""))]
    return [_head(generation, step.root)], [step.before, step.after, step.packed() if step.lefts else b"[]", *ends]


def _applied(step: Step, answer: list[int] | None) -> int | None:
    if answer is None:
        return None
    is_added, before, *_ = answer
    return step.after if is_added else before


def _generation_of(key: str) -> int:
    """Of a head's or a board's key. A root may be anything that orders said, but has no colon."""
    return int(key.split(":", 3)[2])
