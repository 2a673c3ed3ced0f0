"""A steady stream of orders through the edge, each asked for until it is answered, as a good client does; every answer is noted."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import httpx

from bazaar.catalog.v1 import catalog_pb2
from tools.home import Home
from tools.importing import ProductRecord
from tools.importing.records import price_of
from tools.shop import Shop, administrator
from tools.shop.client import Refused
from tools.shop.customers import Customer, Customers
from tools.shop.report import Report
from tools.shop.stocking import Stocking

CUSTOMERS = 24
SKUS = ("rush-cup", "rush-pen", "rush-tv")
UNITS = 100_000
METHODS = ("COD", "COD", "UPI", "CARD")
_ANSWER_SECONDS, _PAUSE_SECONDS, _GIVE_UP_SECONDS = 5.0, 0.25, 90.0


class Front(Protocol):
    """A shop behind its edge, as a Shell has one."""

    home: Home
    port: int

    def get(self, path: str) -> Any: ...

    def database(self, name: str) -> str: ...

    async def violations(self) -> list[str]: ...


@dataclass(frozen=True)
class Try:
    """One call, and how it ended."""

    began: float
    ended: float
    refusal: str = ""
    """Its status and reason; empty when it was answered with an order."""


@dataclass
class Wish:
    """One order that somebody wants, whatever it takes."""

    key: str
    method: str
    tries: list[Try] = field(default_factory=list)
    answer: dict[str, Any] | None = None

    @property
    def order_id(self) -> str:
        return self.answer["order"]["orderId"] if self.answer else ""


class Rush:
    """Orders at a rate, until it is over."""

    def __init__(self, shell: Front, rate: float) -> None:
        self.shop = Shop(f"http://127.0.0.1:{shell.port}", connections=256)
        self.wishes: list[Wish] = []
        self._shell = shell
        self._rate = rate
        self._customers: list[Customer] = []
        self._bank = httpx.AsyncClient(trust_env=False, timeout=10)
        self._coming: asyncio.Task[None] | None = None
        self._under_way: set[asyncio.Task[Wish]] = set()

    async def prepare(self) -> None:
        """Products, stock, and customers who are logged in."""
        admin = administrator(self.shop, self._shell.home)
        await Stocking(self.shop, admin, Report("rush")).take([_record(sku) for sku in SKUS], told=lambda done: None)
        known, names = Customers(self.shop, self._shell.home), [f"rush-{number}" for number in range(CUSTOMERS)]
        await known.enrol(names, admin)
        self._customers = [known[name] for name in names]
        await asyncio.gather(*(customer.address_id() for customer in self._customers))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Orders come until the end of the block, which waits for the last to be answered."""
        self._coming = asyncio.create_task(self._stream())
        try:
            yield
        finally:
            await self.end()
            await self._bank.aclose()
            self.shop.close()

    async def end(self) -> None:
        """Nobody else comes; waits until all who came have been answered, and have paid."""
        assert self._coming is not None
        self._coming.cancel()
        await asyncio.gather(*self._under_way)

    def tries_since(self, at: float) -> list[Try]:
        """Those that began since then, and have ended."""
        return sorted((one for wish in self.wishes for one in wish.tries if one.began >= at), key=lambda one: one.began)

    async def _stream(self) -> None:
        for number in itertools.count():
            task = asyncio.create_task(self.fulfil(self._customers[number % CUSTOMERS], METHODS[number % len(METHODS)]))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
            await asyncio.sleep(1 / self._rate)

    async def fulfil(self, customer: Customer | None = None, method: str = "COD", patience: float = _ANSWER_SECONDS) -> Wish:
        """Orders something, and pays for it.

        Args:
            patience: seconds that each call may take.
        """
        customer = customer or self._customers[0]
        wish = Wish(uuid.uuid4().hex, method)
        self.wishes.append(wish)
        lines = [{"sku": sku, "quantity": 1} for sku in random.sample(SKUS, 2)]
        body = {"lines": lines, "addressId": await customer.address_id(), "paymentMethod": method}
        give_up = time.monotonic() + _GIVE_UP_SECONDS
        while wish.answer is None and time.monotonic() < give_up:
            await self._try(wish, customer, body, patience)
            if wish.answer is None:
                await asyncio.sleep(_PAUSE_SECONDS)
        if wish.answer and (link := wish.answer.get("paymentLink")):
            await self._pay(link)
        return wish

    async def _try(self, wish: Wish, customer: Customer, body: dict[str, Any], patience: float) -> None:
        token = await customer.account.token()
        began, refusal = time.monotonic(), ""
        try:
            async with asyncio.timeout(patience):
                wish.answer = await self.shop.post("/v1/orders", body, token=token, key=wish.key)
        except Refused as refused:
            refusal = f"{refused.status} {refused.reason}"
        except TimeoutError:
            refusal = "0 SILENCE"
        wish.tries.append(Try(began, time.monotonic(), refusal))

    async def _pay(self, link: str) -> None:
        """Presses Pay until the page says something; it is loaded anew when the gateway is away."""
        for _ in range(100):
            try:
                await self._bank.post(link, data={"outcome": "pay"})
                return
            except httpx.HTTPError:
                await asyncio.sleep(_PAUSE_SECONDS)


def refusals(tries: Sequence[Try]) -> Counter[str]:
    return Counter(one.refusal for one in tries if one.refusal)


def _record(sku: str) -> ProductRecord:
    product = catalog_pb2.Product(
        product_id=sku, title=sku, category_path=["Rush"], variants=[catalog_pb2.Variant(sku=sku)], state=catalog_pb2.Product.ACTIVE
    )
    return ProductRecord(0, product, [price_of(sku, "USD", 1000)], {sku: UNITS})


@asynccontextmanager
async def rushing(front: Front, rate: float) -> AsyncIterator[Rush]:
    """Orders at a rate, for the length of the block."""
    rush = Rush(front, rate)
    await rush.prepare()
    async with rush.running():
        yield rush
