"""Reads that need nobody to be logged in."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

from tools.loading.measures import Measures
from tools.loading.scenarios.scenario import Scenario, wrong
from tools.loading.seeds import Seeds

WINDOWS = ("all", "24h", "7d", "30d")
"""Not 1h: what was ordered for an earlier run may have left it."""
METRICS = ("orders", "units", "revenue")
LENGTHS = (5, 10)


class Question(NamedTuple):
    """One read. There is one object for all who ask the same, so that a long run's calls need little memory."""

    path: str
    kind: str = ""


class TopScenario(Scenario):
    """GET /v1/queryTopProducts over all categories, windows, metrics, and two lengths."""

    _kind_of_top = ""

    def __init__(self, seeds: Seeds) -> None:
        self._seeds = seeds
        self._tops: list[Question] = []

    @property
    def questions(self) -> Sequence[Question]:
        return self._tops

    async def seed(self, clients: int) -> None:
        await self._seeds.stock()
        await self._seeds.order_everywhere()
        self._tops = [
            Question(f"/v1/queryTopProducts?category={category}&limit={limit}&metric={metric}&window={window}", self._kind_of_top)
            for category, limit, metric, window in product(self._seeds.categories, LENGTHS, METRICS, WINDOWS)
        ]

    async def make(self) -> Question:
        return self._seeds.chance.choice(self._tops)

    async def fire(self, shot: Question, measures: Measures) -> str:
        answer = await self._seeds.shop.get(shot.path)
        if not (answer.get("product") or answer.get("products")):
            raise wrong("EMPTY", f"{shot.path} is empty")
        return shot.kind


class BrowseScenario(TopScenario):
    """Customers who look around: product pages, drawn by Zipf's law, listings, and for the rest Top 10s.

    Args:
        products: their share.
        listings: theirs.
    """

    _kind_of_top = "top10"

    def __init__(self, seeds: Seeds, *, products: float = 0.5, listings: float = 0.33) -> None:
        super().__init__(seeds)
        self._shares = products, products + listings
        self._products: dict[str, Question] = {}
        self._categories: list[Question] = []

    @property
    def questions(self) -> Sequence[Question]:
        return [*self._tops, *self._products.values(), *self._categories]

    async def seed(self, clients: int) -> None:
        products, others = self._shares
        if others < 1:
            await super().seed(clients)
        await self._seeds.stock()
        if products:
            self._products = {sku: Question(f"/v1/products/{sku}", "product") for sku in self._seeds.skus}
        if others > products:
            self._categories = [
                Question(f"/v1/products?category={category}&pageSize=20", "category") for category in self._seeds.categories
            ]

    async def make(self) -> Question:
        chance, (products, others) = self._seeds.chance.random(), self._shares
        if chance < products:
            return self._products[self._seeds.popular(1)[0]]
        if chance < others:
            return self._seeds.chance.choice(self._categories)
        return await super().make()
