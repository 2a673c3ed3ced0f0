"""Puts products on the shop's shelves: the products themselves, their prices, their stock."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

import orjson
from google.protobuf.json_format import MessageToDict

from tools.importing import ProductRecord, Refusal
from tools.shop.account import Account
from tools.shop.client import Refused, Shop, patiently
from tools.shop.report import Report

BATCH = 500
"""Products a call; the shop takes 1,000, and 4 MiB."""
BATCH_BYTES = 2 * 2**20
MOST_AT_ONCE = 1000
"""Prices or receipts a call."""

T = TypeVar("T")

Progress = Callable[[int], None]
Item = dict[str, Any]


class Stocking:
    """Imports what a file holds; every refusal goes to the report, and what a product refused had of price and stock goes nowhere."""

    def __init__(self, shop: Shop, admin: Account, report: Report) -> None:
        self._shop = shop
        self._admin = admin
        self._report = report
        self._deliveries = 0

    async def take(self, records: Iterable[ProductRecord | Refusal], *, told: Progress | None = None, only_missing: bool = False) -> None:
        """Imports products in their order, in batches.

        Args:
            told: gets the number of products done so far.
            only_missing: books stock only for SKUs that have less than the file says, and only the difference.

        Raises:
            Refused: the shop does not answer, or not to this account.
        """
        done = 0
        for batch in _batches(self._readable(records)):
            taken = await self._products(batch)
            prices = [MessageToDict(price) for record in taken for price in record.prices]
            stock = {sku: units for record in taken for sku, units in record.stock.items()}
            await asyncio.gather(self._prices(prices), self._receive(stock, only_missing))
            done += len(batch)
            if told:
                told(done)

    def _readable(self, records: Iterable[ProductRecord | Refusal]) -> Iterator[tuple[ProductRecord, Item]]:
        for record in records:
            if isinstance(record, Refusal):
                self._report.refuse("product", record.reason, record.message, line=record.line, product_id=record.product_id)
            else:
                yield record, MessageToDict(record.product)

    async def _products(self, batch: Sequence[tuple[ProductRecord, Item]]) -> list[ProductRecord]:
        answer = await self._post("/v1/products:import", {"products": [product for _, product in batch]})
        self._report.counts["products created"] += answer["createdCount"]
        self._report.counts["products updated"] += answer["updatedCount"]
        fallen = set()
        for refusal in answer["refusals"]:
            record = batch[refusal["index"]][0]
            fallen.add(refusal["index"])
            where = {"line": record.line, "product_id": record.product.product_id}
            self._report.refuse("product", refusal["reason"], refusal["message"], **where)
        return [record for place, (record, _) in enumerate(batch) if place not in fallen]

    async def _prices(self, prices: Sequence[Item]) -> None:
        for some in _slices(prices):
            self._report.counts["prices set"] += await self._in_halves("price", some, self._set_prices)

    async def _set_prices(self, prices: Sequence[Item]) -> None:
        await self._post("/v1/prices:batchSet", {"prices": prices})

    async def _receive(self, stock: dict[str, int], only_missing: bool) -> None:
        for some in _slices(list(stock.items())):
            self._deliveries += 1
            # The key is the place in the file and the content, so that the same file again isn't a second delivery.
            name = uuid.uuid4().hex if only_missing else str(self._deliveries)
            units = await self._missing(dict(some)) if only_missing else dict(some)
            receipts = [{"sku": sku, "quantity": str(number)} for sku, number in units.items()]
            if receipts:
                self._report.counts["SKUs restocked"] += await self._in_halves("receipt", receipts, partial(self._book, name))

    async def _missing(self, stock: dict[str, int]) -> dict[str, int]:
        answer = await self._post("/v1/inventory/check:batch", {"lines": [{"sku": sku, "quantity": 1} for sku in stock]})
        there = {found["sku"]: int(found["available"]) for found in answer["availabilities"]}
        return {sku: units - there[sku] for sku, units in stock.items() if there[sku] < units}

    async def _book(self, name: str, receipts: Sequence[Item]) -> None:
        digest = hashlib.sha256(orjson.dumps([name, receipts])).hexdigest()
        await self._post(
            "/v1/inventory/receive:batch", {"receipts": receipts, "reference": f"import {digest[:12]}"}, key=f"import-{digest}"
        )

    async def _in_halves(self, kind: str, items: Sequence[Item], send: Callable[[Sequence[Item]], Awaitable[None]]) -> int:
        """Sends all or none; when refused, each half by itself, down to the item that is at fault. Returns how many went."""
        try:
            await send(items)
        except Refused as refused:
            if refused.status not in (400, 404, 413):
                raise
            if len(items) == 1:
                self._report.refuse(kind, refused.reason, refused.text, sku=items[0]["sku"])
                return 0
            middle = len(items) // 2
            return await self._in_halves(kind, items[:middle], send) + await self._in_halves(kind, items[middle:], send)
        return len(items)

    async def _post(self, path: str, body: Item, *, key: str = "") -> Item:
        token = await self._admin.token()
        return await patiently(lambda: self._shop.post(path, body, token=token, key=key))


def _batches(records: Iterable[tuple[ProductRecord, Item]]) -> Iterator[list[tuple[ProductRecord, Item]]]:
    """Up to 500 products and 2 MiB at a time."""
    batch: list[tuple[ProductRecord, Item]] = []
    size = 0
    for record in records:
        bytes_more = len(orjson.dumps(record[1]))
        if batch and (len(batch) == BATCH or size + bytes_more > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(record)
        size += bytes_more
    if batch:
        yield batch


def _slices(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """As many as one call takes, in their order."""
    return (items[start : start + MOST_AT_ONCE] for start in range(0, len(items), MOST_AT_ONCE))
