"""How long an order takes to show in the ranking, sampled while the shop is under load."""

from __future__ import annotations

import asyncio
import uuid
from itertools import cycle
from time import monotonic as clock

from tools.loading.seeds import Seeds
from tools.shop import Refused
from tools.shop.customers import Customer

EVERY = 3.0
"""Seconds between samples of one category. Each costs an order and some look-ups, which are no part of what is measured."""
POLL = 0.1
PATIENCE = 30.0


class Watcher:
    """Orders a product that nobody else orders, and looks until the root category's ranking has counted it."""

    def __init__(self, seeds: Seeds) -> None:
        self._seeds = seeds
        self._skus: dict[str, str] = {}
        self.seconds: list[float] = []
        """From sending the order to the first answer that counts it."""
        self.missed = 0
        """Orders that were refused, or never seen."""

    async def prepare(self) -> None:
        """Makes the products."""
        self._skus = await self._seeds.probes()

    async def watch(self) -> None:
        """Samples every root category until cancelled, each sample by another customer."""
        customers = cycle(self._seeds.customers)

        async def watch(root: str, sku: str) -> None:
            while True:
                try:
                    await self._sample(next(customers), root, sku)
                except Refused:
                    self.missed += 1
                await asyncio.sleep(EVERY)

        await asyncio.gather(*(watch(root, sku) for root, sku in self._skus.items()))

    async def _sample(self, customer: Customer, root: str, sku: str) -> None:
        shop = self._seeds.shop
        before = await self._count(root, sku)
        token = await customer.account.token()
        body = {"lines": [{"sku": sku, "quantity": 1}], "addressId": await customer.address_id(), "paymentMethod": "COD"}
        began = clock()
        await shop.post("/v1/orders", body, token=token, key=uuid.uuid4().hex)
        while clock() - began < PATIENCE:
            if await self._count(root, sku) > before:
                self.seconds.append(clock() - began)
                return
            await asyncio.sleep(POLL)
        self.missed += 1

    async def _count(self, root: str, sku: str) -> int:
        try:
            answer = await self._seeds.shop.get(f"/v1/products/{sku}/rank?category={root}")
        except Refused as refused:
            if refused.reason == "PRODUCT_NOT_RANKED":
                return 0
            raise
        return int(answer["product"]["orders"])
