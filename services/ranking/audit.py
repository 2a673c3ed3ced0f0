"""Checks the rankings against the order log, and builds them anew from it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from bazaar.orders.v1 import orders_service_pb2
from services.kit.clock import Clock
from services.ranking.boards import Boards
from services.ranking.events import line_from
from services.ranking.generation import FRESH_SECONDS
from services.ranking.model import Amounts, Count, Line, Metric, Query, Window, hour_of, left_at, spread
from services.ranking.rankings import Rankings
from services.ranking.store import Hours, RankingStore
from services.ranking.store_versions import VersionStore

if TYPE_CHECKING:
    from bazaar.orders.v1.orders_service_pb2_grpc import OrdersServiceAsyncStub

_SETTLE_SECONDS = 30.0
_ABANDONED_AFTER = timedelta(minutes=2)
_EVERY_PRODUCT = 1_000_000
_EVERYTHING = 2**62
_NOTHING: Amounts = (0, 0, 0)

Truth = dict[str, dict[tuple[str, str], Amounts]]
"""Amounts by category, then by product and currency."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One count that isn't what it should be."""

    category: str
    product_id: str
    count: str
    """Window and metric, as in `all/orders`; `log` where the truth itself differs from the order log."""
    expected: int
    actual: int


@dataclass
class Report:
    """What a verification found."""

    lines_counted: int = 0
    differences: list[Difference] = field(default_factory=list[Difference])


class Audit:
    """Compares three things: the order log, the truth that was counted from its events, and the boards."""

    def __init__(
        self, orders: OrdersServiceAsyncStub, store: RankingStore, versions: VersionStore, boards: Boards, rankings: Rankings, clock: Clock
    ) -> None:
        self._orders = orders
        self._store = store
        self._versions = versions
        self._boards = boards
        self._rankings = rankings
        self._clock = clock

    async def verify(self, root: str = "") -> Report:
        """Recounts everything, with orders going on.

        Events on their way aren't differences: what differs is looked at again, for up to 30 seconds.
        """
        generation = await self._versions.live()
        report = Report()
        async for lines in self._log():
            mine = [line for line in lines if not root or line.root == root]
            report.lines_counted += len(mine)
            report.differences += await self._differing_lines(generation, mine)
        roots = [root] if root else sorted(await self._store.positions(generation))
        for each in roots:
            report.differences += await self._differing_boards(generation, each)
        return report

    async def rebuild(self) -> tuple[int, int]:
        """Builds a new version from the order log beside the live one, fills its boards, and flips to it.

        Returns:
            the new version's number, and the lines counted from the log.

        Raises:
            RebuildInProgress: another one is at work.
        """
        generation = await self._versions.open(_ABANDONED_AFTER)
        counted = 0
        async for lines in self._log():
            counted += len(lines)
            await self._store.add_to(generation, lines)
            await self._versions.still_building(generation)
        await self._rankings.roll_up(generation)
        await self._rankings.sweep(generation)
        old = await self._versions.flip(generation)
        await asyncio.sleep(2 * FRESH_SECONDS)  # whoever remembers the old version has asked again by then
        await self._boards.drop(old)
        await self._versions.drop(old)
        return generation, counted

    async def _log(self) -> AsyncIterator[list[Line]]:
        async for message in self._orders.StreamOrderLines(orders_service_pb2.StreamOrderLinesRequest(), timeout=600):
            yield [line_from(line) for line in message.lines]

    async def _differing_lines(self, generation: int, lines: Sequence[Line]) -> list[Difference]:
        """Lines of the log that aren't in the truth, or not the same there."""
        deadline = asyncio.get_running_loop().time() + _SETTLE_SECONDS
        while missing := await self._store.missing(generation, lines):
            if asyncio.get_running_loop().time() > deadline:
                return [Difference(line.category_id, line.product_id, "log", line.sign, 0) for line in missing]
            lines = missing
            await asyncio.sleep(0.25)
        return []

    async def _differing_boards(self, generation: int, root: str) -> list[Difference]:
        deadline = asyncio.get_running_loop().time() + _SETTLE_SECONDS
        while differences := await self._compare(generation, root):
            if asyncio.get_running_loop().time() > deadline:
                return differences
            await asyncio.sleep(0.25)
        return []

    async def _compare(self, generation: int, root: str) -> list[Difference]:
        """Every board of a root against sums of the truth, up to the position that the board itself says it has applied."""
        left = left_at(hour_of(self._clock()))
        known = await self._expected(generation, root, _EVERYTHING, Window.ALL, left)
        truths: dict[tuple[int, Window], Truth] = {}
        found: list[Difference] = []
        for category, currency in sorted({(category, currency) for category, products in known.items() for _, currency in products}):
            for window in Window:
                answer = await self._boards.top(generation, Query(category, Metric.ORDERS, window, currency), _EVERY_PRODUCT)
                if answer is None or not answer[0].shows(window, left):
                    return [Difference(category, "", f"{window}/board", 1, 0)]
                head, counts = answer
                if (head.applied, window) not in truths:
                    truths[head.applied, window] = await self._expected(generation, root, head.applied, window, left)
                expected = _in_currency(truths[head.applied, window].get(category, {}), currency)
                found += _differing(category, window, expected, counts)
        return found

    async def _expected(self, generation: int, root: str, upto: int, window: Window, left: int) -> Truth:
        of = Hours.ANY if window is Window.ALL else Hours.AFTER
        truth: Truth = {}
        for (category, product, currency, _), amounts in spread(
            await self._store.sums(generation, root, upto=upto, of=of, hour=left)
        ).items():
            truth.setdefault(category, {})[product, currency] = amounts
        return truth


def _in_currency(products: dict[tuple[str, str], Amounts], currency: str) -> dict[str, Amounts]:
    """Orders and units of every currency, revenue of one."""
    total: dict[str, Amounts] = {}
    for (product, paid_in), (orders, units, revenue) in products.items():
        had = total.get(product, _NOTHING)
        total[product] = (had[0] + orders, had[1] + units, had[2] + (revenue if paid_in == currency else 0))
    return {product: amounts for product, amounts in total.items() if any(amounts)}


def _differing(category: str, window: Window, expected: dict[str, Amounts], counts: Sequence[Count]) -> list[Difference]:
    actual: dict[str, Amounts] = {count.product_id: (count.orders, count.units, count.revenue) for count in counts}
    return [
        Difference(category, product, f"{window}/{metric}", wanted, there)
        for product in sorted(expected.keys() | actual.keys())
        for metric, wanted, there in zip(Metric, expected.get(product, _NOTHING), actual.get(product, _NOTHING), strict=True)
        if wanted != there
    ]
