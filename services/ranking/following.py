"""The boards after the truth, in this process: what was added there goes to them, added up."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

import structlog

from services.kit.redis import RedisUnavailable
from services.kit.rpc.calls import beside
from services.ranking.boards import Boards
from services.ranking.boards_wire import Step
from services.ranking.store import Added

CELLS_A_CALL = 600
"""Sums that go to Redis at once: some twenty milliseconds of its time. Half as many, with fewer lines in each, cost a third more a line."""

STEPS_AHEAD = 100
"""With more of them waiting, the truth waits for the boards."""

CatchUp = Callable[[int, str, int | None, int], Awaitable[None]]
"""Brings a board of a version and root from the position it has applied up to another."""

_log = structlog.get_logger("bazaar.ranking")


class Following:
    """Applies lines to the boards beside those who add them to the truth.

    While Redis works, what comes is added up and goes next, and between two calls Redis is left alone for a quarter of the time that the
    last one took. So the more there is to count, the fewer writes a line costs; a line that comes alone is shown at once.

    Args:
        catch_up: for boards that wait for other lines than those at hand.
    """

    def __init__(self, boards: Boards, catch_up: CatchUp) -> None:
        self._boards = boards
        self._catch_up = catch_up
        self._waiting: dict[tuple[int, str], deque[Step]] = {}
        self._work: asyncio.Task[None] | None = None
        self._has_moved = asyncio.Event()
        self._rest_until = 0.0

    async def take(self, added: Sequence[Added]) -> None:
        """Has lines added to the live version's boards soon; one that is being built gets its boards at the end.

        Lines that are lost on the way are found missing by the sweep.
        """
        for item in added:
            if item.is_live:
                self._gather(item)
        if self._waiting and (self._work is None or self._work.done()):
            self._work = beside(self._apply_all())
        while sum(map(len, self._waiting.values())) > STEPS_AHEAD:
            self._has_moved.clear()
            await self._has_moved.wait()

    def is_on(self, generation: int, root: str) -> bool:
        """Whether lines of a root wait here."""
        return (generation, root) in self._waiting

    async def settled(self) -> None:
        """Waits until nothing waits."""
        if self._work:
            await asyncio.shield(self._work)

    def _gather(self, added: Added) -> None:
        """Even of nothing new there is a step: it shows whether the board is behind."""
        steps = self._waiting.setdefault((added.generation, added.root), deque())
        if not steps or steps[-1].after != added.before or steps[-1].cells >= CELLS_A_CALL:
            steps.append(self._boards.step(added.generation, added.root, added.before))
        steps[-1].add(added.lines)

    async def _apply_all(self) -> None:
        while self._waiting:
            await asyncio.sleep(max(0.0, self._rest_until - time.monotonic()))
            begun = time.monotonic()
            try:
                await self._apply_some()
            except Exception as error:
                self._waiting.clear()  # the sweep finds what is missing now
                if not isinstance(error, RedisUnavailable):
                    _log.warning("boards don't follow", error=type(error).__name__)
            ended = time.monotonic()
            self._rest_until = ended + (ended - begun) / 4
            self._has_moved.set()

    async def _apply_some(self) -> None:
        """The oldest steps, as many as one call takes, in one round trip."""
        for generation, steps in self._next().items():
            for step, applied in zip(steps, await self._boards.apply(generation, steps), strict=True):
                if applied is None or applied < step.after:
                    await self._catch_up(generation, step.root, applied, step.after)

    def _next(self) -> dict[int, list[Step]]:
        """By version. Roots take turns: the one that was served last comes last."""
        taken: dict[int, list[Step]] = {}
        cells = 0
        while self._waiting and cells < CELLS_A_CALL:
            key = generation, _ = next(iter(self._waiting))
            steps = self._waiting.pop(key)
            step = steps.popleft()
            taken.setdefault(generation, []).append(step)
            cells += step.cells
            if steps:
                self._waiting[key] = steps
        return taken
