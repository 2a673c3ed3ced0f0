"""What must be there before load can be put on: products, customers, carts, something in every ranking."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Awaitable, Callable, Sequence
from itertools import accumulate
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar

from bazaar.catalog.v1 import catalog_pb2
from services.catalog.model import categories_on, slug
from tools.home import Home
from tools.importing import ProductRecord, read_products
from tools.importing.records import price_of
from tools.loading.pacing import Told
from tools.sample import catalogue
from tools.sample.files import write_catalogue
from tools.shop import Shop, administrator
from tools.shop.client import patiently
from tools.shop.customers import Customer, Customers
from tools.shop.ordering import Checkout, Order
from tools.shop.paying import Bank
from tools.shop.report import Report
from tools.shop.screen import bar
from tools.shop.stocking import Stocking

T = TypeVar("T")

FEWEST_CUSTOMERS, MOST_CUSTOMERS = 8, 200
STOCK = 1_000_000
"""Units of each SKU, so that none runs out under load."""
AT_ONCE = 16
ORDERS_PER_CATEGORY = 12
TOKEN_SECONDS = 400.0
"""How long tokens last at least when load begins; they are exchanged as they end."""
PATIENCE = 30.0
"""Seconds until rankings must have counted what was ordered."""
PROBE_SHELF = "Probes"


class Seeds:
    """A stocked shop with customers who are logged in."""

    def __init__(self, shop: Shop, home: Home, seed: int) -> None:
        self.shop = shop
        self.bank = Bank()
        self.chance = random.Random(seed)
        self.categories: list[str] = []
        """Of the made-up catalogue, on all levels."""
        self.skus: list[str] = []
        """The most popular first."""
        self.customers: list[Customer] = []
        self._home = home
        self._admin = administrator(shop, home)
        self._known = Customers(shop, home)
        self._weights: list[float] = []
        self._turn = 0

    def close(self) -> None:
        """Closes the connections to the shop and to its gateway."""
        self.shop.close()
        self.bank.close()

    async def stock(self) -> None:
        """Puts the made-up catalogue on sale, with stock that lasts; once."""
        if self.skus:
            return
        items = catalogue()
        file = self._home.path / "load" / "catalogue.jsonl"
        write_catalogue(file, items)
        self.skus = [item.product_id for item in items]
        random.Random(0).shuffle(self.skus)
        self._weights = list(accumulate(1 / rank for rank in range(1, len(self.skus) + 1)))
        with bar("Stocking", len(items)) as told:
            await self._take([_plenty(record) for record in _records(file)], told)
        self.categories = sorted({category.category_id for item in items for category in categories_on(item.path)})

    async def probes(self) -> dict[str, str]:
        """Makes one product for each root category that nobody else orders; SKUs by the root's id."""
        titles = dict.fromkeys(item.path[0] for item in catalogue())
        records = {categories_on((title,))[0].category_id: _probe(title) for title in titles}
        await self._take(list(records.values()), lambda done: None)
        return {root: record.product.product_id for root, record in records.items()}

    async def enrol(self, count: int) -> None:
        """Logs so many customers in, but 200 at most, each with an address."""
        names = [f"load-{number}" for number in range(1, max(FEWEST_CUSTOMERS, min(count, MOST_CUSTOMERS)) + 1)]
        await self._known.enrol(names, self._admin)
        self.customers = [self._known[name] for name in names]

        async def log_in(customer: Customer) -> None:
            await customer.account.token(TOKEN_SECONDS)
            await customer.address_id()

        with bar("Logging in customers", len(names)) as told:
            await in_parallel([lambda customer=customer: log_in(customer) for customer in self.customers], told)
        self._known.save()

    def next_customer(self) -> Customer:
        """Each in turn."""
        self._turn += 1
        return self.customers[self._turn % len(self.customers)]

    async def cart(self, customer: Customer, skus: Sequence[str]) -> str:
        """A customer's new cart with one unit of each SKU; its id."""
        token = await customer.account.token()
        cart_id = (await patiently(lambda: self.shop.post("/v1/carts", {}, token=token)))["cart"]["cartId"]
        for sku in skus:
            body, key = {"sku": sku, "quantity": 1}, uuid.uuid4().hex
            await patiently(lambda body=body, key=key: self.shop.post(f"/v1/carts/{cart_id}/items", body, token=token, key=key))
        return cart_id

    async def order_everywhere(self) -> None:
        """Places orders until every category has a ranking."""
        if await self._is_ranked():
            return
        names = [f"load-{number}" for number in range(1, FEWEST_CUSTOMERS + 1)]
        await self._known.enrol(names, self._admin)
        items = {item.product_id: item.path for item in catalogue()}
        leaves: dict[tuple[str, ...], list[str]] = {}
        for sku, path in items.items():
            leaves.setdefault(path, []).append(sku)
        orders = [
            Order(uuid.uuid4().hex, self.chance.choice(names), {self.chance.choice(skus): 1})
            for skus in leaves.values()
            for _ in range(ORDERS_PER_CATEGORY)
        ]
        with bar("Ordering", len(orders)) as told:
            await Checkout(self.shop, self._known, Report("load")).place(orders, told=told, concurrency=AT_ONCE)
        self._known.save()
        give_up = monotonic() + PATIENCE
        while not await self._is_ranked() and monotonic() < give_up:
            await asyncio.sleep(0.2)

    async def _is_ranked(self) -> bool:
        paths = [f"/v1/queryTopProducts?category={category}&window=24h&limit=1" for category in self.categories]
        answers = await in_parallel([lambda path=path: self.shop.get(path) for path in paths], lambda done: None)
        return all(answer["products"] for answer in answers)

    def popular(self, count: int) -> list[str]:
        """So many different SKUs, drawn by Zipf's law (exponent 1)."""
        drawn: dict[str, None] = {}
        while len(drawn) < count:
            drawn.update(dict.fromkeys(self.chance.choices(self.skus, cum_weights=self._weights, k=count - len(drawn))))
        return list(drawn)

    async def _take(self, records: Sequence[ProductRecord], told: Told) -> None:
        await Stocking(self.shop, self._admin, Report("load")).take(records, told=told, only_missing=True)


async def in_parallel(makers: Sequence[Callable[[], Awaitable[T]]], told: Told, at_once: int = AT_ONCE) -> list[T]:
    """The results in order; so many are under way at once."""
    results: list[Any] = [None] * len(makers)
    queue, done = enumerate(makers), 0

    async def worker() -> None:
        nonlocal done
        for place, make in queue:
            results[place] = await make()
            done += 1
            told(done)

    await asyncio.gather(*(worker() for _ in range(at_once)))
    return results


def _records(file: Path) -> list[ProductRecord]:
    return [record for record in read_products(file) if isinstance(record, ProductRecord)]


def _plenty(record: ProductRecord) -> ProductRecord:
    record.stock = dict.fromkeys(record.stock, STOCK)
    return record


def _probe(root: str) -> ProductRecord:
    sku = f"load-probe-{slug(root)}"
    product = catalog_pb2.Product(
        product_id=sku,
        title=f"Probe of {root}",
        category_path=[root, PROBE_SHELF],
        variants=[catalog_pb2.Variant(sku=sku)],
        state=catalog_pb2.Product.ACTIVE,
    )
    return ProductRecord(0, product, [price_of(sku, "USD", 100)], {sku: STOCK})
