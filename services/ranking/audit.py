"""Checks the rankings against the order log, and builds them anew from it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from bazaar.orders.v1 import orders_service_pb2
from services.kit.clock import Clock
from services.ranking.boards import Boards
from services.ranking.events import line_from
from services.ranking.fresh import GOOD_FOR_SECONDS
from services.ranking.model import Difference, Line, Query, Window, add_up, differing, lefts_at, minute_of, tally
from services.ranking.projection import Projection
from services.ranking.store import RankingStore
from services.ranking.store_history import HistoryStore
from services.ranking.store_versions import VersionStore

if TYPE_CHECKING:
    from bazaar.orders.v1.orders_service_pb2_grpc import OrdersServiceAsyncStub

SETTLE_SECONDS = 30.0
_LOOK_AGAIN_SECONDS = 0.25
_ABANDONED_AFTER = timedelta(minutes=2)
_LOG_SECONDS = 600
_LINES_AT_ONCE = 5000
"""In one transaction of a rebuild: a fraction of a second, for which consumers wait for the root's row."""
_FIRST_ID, _LAST_ID = "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"


T = TypeVar("T")


@dataclass
class Report:
    """What a verification found."""

    lines_counted: int = 0
    differences: list[Difference] = field(default_factory=list[Difference])


class Audit:
    """Compares the order log, the truth that was counted from its events, the sums over that, and the boards."""

    def __init__(
        self,
        orders: OrdersServiceAsyncStub,
        stores: tuple[RankingStore, HistoryStore, VersionStore],
        boards: Boards,
        projection: Projection,
        clock: Clock,
    ) -> None:
        self._orders = orders
        self._store, self._history, self._versions = stores
        self._boards = boards
        self._projection = projection
        self._clock = clock

    async def verify(self, root: str = "") -> Report:
        """Recounts everything, or one root, with orders going on.

        Events on their way aren't differences: what differs is looked at again, for up to 30 seconds.
        """
        generation = await self._versions.live()
        report = Report()
        await self._compare_with_log(generation, root, report)
        for each in [root] if root else await self._store.positions(generation):
            report.differences += await self._compare_history(generation, each)
            for window in Window:
                report.differences += await _settled(lambda each=each, window=window: self._compare_boards(generation, each, window))
        return report

    async def rebuild(self) -> tuple[int, int]:
        """Builds a new version from the order log beside the live one, fills its boards, and flips to it.

        Returns:
            the new version's number, and the lines counted from the log.

        Raises:
            RebuildInProgress: another one is at work.
        """
        generation = await self._versions.open(_ABANDONED_AFTER)
        try:
            counted = await self._build(generation)
            await self._versions.flip(generation)
        except BaseException:
            await self._versions.give_up(generation)
            raise
        await self._projection.sweep(generation)  # boards that missed a batch just before
        await asyncio.sleep(2 * GOOD_FOR_SECONDS)  # whoever remembers the old version has asked again by then
        await self._boards.keep_only(await self._versions.drop_others())
        return generation, counted

    async def _build(self, generation: int) -> int:
        counted = 0
        async for lines in _ahead(_gathered(self._log(), _LINES_AT_ONCE)):
            counted += len(lines)
            await self._store.add_to(generation, lines)
            await self._versions.still_building(generation)
        await self._projection.build(generation)
        return counted

    async def _log(self) -> AsyncIterator[list[Line]]:
        """Every line of every order, by order id."""
        async for message in self._orders.StreamOrderLines(orders_service_pb2.StreamOrderLinesRequest(), timeout=_LOG_SECONDS):
            if message.lines:
                yield [line_from(line) for line in message.lines]

    async def _compare_with_log(self, generation: int, root: str, report: Report) -> None:
        after, unknown = _FIRST_ID, list[Line]()
        async for page in self._log():
            upto, lines = page[-1].order_id, [line for line in page if not root or line.root == root]
            report.lines_counted += len(lines)
            report.differences += await _settled(lambda lines=lines: self._missing(generation, lines))
            unknown += await self._store.others(generation, lines, after=after, upto=upto, root=root)
            after = upto
        unknown += await self._store.others(generation, [], after=after, upto=_LAST_ID, root=root)
        report.differences += await self._never_ordered(unknown)

    async def _missing(self, generation: int, lines: Sequence[Line]) -> list[Difference]:
        """Lines of the log that aren't in the truth, or not the same there."""
        missing = await self._store.missing(generation, lines)
        return [Difference(line.category_id, line.product_id, "log", line.sign, 0) for line in missing]

    async def _never_ordered(self, lines: Sequence[Line]) -> list[Difference]:
        """Lines of the truth that aren't in the log. An order may have changed since its page was read, so the log is read again."""
        unknown = set(lines)
        if unknown:
            async for page in self._log():
                unknown.difference_update(page)
        return [Difference(line.category_id, line.product_id, "log", 0, line.sign) for line in lines if line in unknown]

    async def _compare_history(self, generation: int, root: str) -> list[Difference]:
        """The sums that history is read from against a recount, at one moment."""
        lefts = lefts_at(minute_of(self._clock()))
        snapshot = await self._history.snapshot(generation, root, lefts)
        found: list[Difference] = []
        if snapshot is None:
            return found
        for window, sums in snapshot.sums.items():
            recount = await self._store.sums(generation, root, upto=snapshot.position, after=lefts.get(window, -1))
            told, counted = tally(sums), tally(recount)
            for board in sorted(told.keys() | counted.keys()):
                found += differing(f"history/{window}", board, counted.get(board, {}), told.get(board, {}))
        return found

    async def _compare_boards(self, generation: int, root: str, window: Window) -> list[Difference]:
        """Every board of a root and window against a recount up to the position that the board itself says it has applied."""
        at = (await self._store.positions(generation)).get(root, 0)
        left = window.left_at(minute_of(self._clock()))
        counted = tally(await self._store.sums(generation, root, upto=at, after=left))
        found: list[Difference] = []
        # Those of all time, because what has left a window may have stayed on its boards.
        for board in sorted(tally(await self._store.sums(generation, root, upto=at))):
            category, metric, currency = board
            answer = await self._boards.read(generation, Query(category, metric, window, currency))
            if answer is None or not answer[0].shows(window, left) or answer[0].applied < at:
                return [Difference(category, "", f"{window}/board", 1, 0)]
            head, amounts = answer
            new = await self._store.lines_between(generation, root, at, head.applied)
            tally(add_up(line for line in new if line.minute > left), into=counted)
            at = head.applied
            found += differing(str(window), board, counted.get(board, {}), amounts)
        return found


async def _gathered(pages: AsyncIterator[list[Line]], size: int) -> AsyncIterator[list[Line]]:
    """The same lines in pages of at least so many, but for the last one."""
    lines: list[Line] = []
    async for page in pages:
        lines += page
        if len(lines) >= size:
            yield lines
            lines = []
    if lines:
        yield lines


async def _ahead(pages: AsyncIterator[T]) -> AsyncIterator[T]:
    """The same pages, the next one being read while one is worked on."""
    reading = asyncio.ensure_future(anext(pages, None))
    try:
        while (page := await reading) is not None:
            reading = asyncio.ensure_future(anext(pages, None))
            yield page
    finally:
        reading.cancel()


async def _settled(compare: Callable[[], Awaitable[list[Difference]]]) -> list[Difference]:
    """What still differs once everything on its way had time to arrive."""
    deadline = asyncio.get_running_loop().time() + SETTLE_SECONDS
    while (found := await compare()) and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(_LOOK_AGAIN_SECONDS)
    return found
