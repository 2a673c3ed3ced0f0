"""Replays baskets as orders of real users: stocks the shop with what they hold, enrols the households, orders basket by basket."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from services.catalog.model import categories_on
from tools.home import Home
from tools.importing import Basket, BasketReader, ProductRecord, Refusal, RefusedOrder, read_products
from tools.shop import Shop, administrator
from tools.shop.customers import Customers
from tools.shop.ordering import Checkout, Order
from tools.shop.report import Report
from tools.shop.screen import bar
from tools.shop.stocking import Stocking
from tools.shop.top import settled_top, show_top, top

SHOWN_CATEGORIES = 3


@dataclass
class Replay:
    """One replay into the shop of a home."""

    shop: Shop
    home: Home
    report: Report
    everything: bool = False
    """Stock all records, not only what the orders need."""
    _roots: dict[str, str] = field(default_factory=dict)
    """Root category by SKU."""
    _lines: Counter[str] = field(default_factory=Counter)
    """Orders by SKU."""

    async def run(self, records: Iterable[ProductRecord | Refusal], orders: Sequence[Order], rate: float | None = None) -> None:
        """Stocks what the orders need, enrols who orders, and orders.

        Raises:
            Refused: the shop does not answer.
        """
        admin, customers = administrator(self.shop, self.home), Customers(self.shop, self.home)
        wanted = {sku for order in orders for sku in order.units}
        with bar("Stocking", None if self.everything else len(wanted)) as told:
            needed = self._noted(records if self.everything else _of(wanted, records))
            await Stocking(self.shop, admin, self.report).take(needed, told=told, only_missing=True)
        names = list(dict.fromkeys(order.customer for order in orders))
        with bar("Enrolling customers", len(names)) as told:
            await customers.enrol(names, admin, told)
        checkout = Checkout(self.shop, customers, self.report)
        try:
            with bar("Ordering", len(orders)) as told:
                await checkout.place(orders, rate=rate, told=told)
        finally:
            customers.save()
        self._lines += checkout.lines

    @property
    def skus(self) -> list[str]:
        """Those that were ordered, the most frequent first."""
        return [sku for sku, _ in self._lines.most_common()]

    @property
    def categories(self) -> list[str]:
        """Root categories, the one with most order lines first."""
        by_root = Counter[str]()
        for sku, count in self._lines.items():
            by_root[self._roots[sku]] += count
        return [category for category, _ in by_root.most_common()]

    async def show_rankings(self, console: Console, count: int = SHOWN_CATEGORIES) -> None:
        """Prints the Top 10 of the categories that were ordered from most."""
        for place, category in enumerate(self.categories[:count]):
            console.print()
            # One category that stands still tells for all: their events travel together.
            show_top(console, category, await (top if place else settled_top)(self.shop, category))

    def _noted(self, records: Iterable[ProductRecord | Refusal]) -> Iterable[ProductRecord | Refusal]:
        for record in records:
            if isinstance(record, ProductRecord):
                root = categories_on(tuple(record.product.category_path))[0].category_id
                self._roots.update((variant.sku, root) for variant in record.product.variants)
            yield record


def _of(wanted: set[str], records: Iterable[ProductRecord | Refusal]) -> Iterable[ProductRecord | Refusal]:
    for record in records:
        product_id = record.product_id if isinstance(record, Refusal) else record.product.product_id
        if product_id in wanted:
            yield record


def orders_of(directory: Path, limit: int | None, report: Report) -> list[Order]:
    """The first baskets of a directory as orders; what can't be one goes to the report.

    Raises:
        ExpectedFailure: the directory has not the files, or they are damaged.
    """
    orders: list[Order] = []
    reader = BasketReader(directory, limit)
    with bar("Reading baskets", limit) as told:
        for found in reader:
            if isinstance(found, Basket):
                orders.append(Order(found.basket_id, found.household_id, found.units))
            elif isinstance(found, RefusedOrder):
                report.refuse("order", found.reason, basket_id=found.basket_id)
            else:
                report.refuse("line", found.reason, line=found.line, basket_id=found.basket_id, product_id=found.product_id)
            told(len(orders))
    return orders


async def replay_directory(shop: Shop, home: Home, directory: Path, limit: int | None, rate: float | None, report: Report) -> Replay:
    """Replays the first baskets of a directory."""
    orders = orders_of(directory, limit, report)
    replay = Replay(shop, home, report)
    await replay.run(read_products(directory), orders, rate)
    return replay
