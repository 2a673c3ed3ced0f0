"""Products by id and by SKU: from memory where that can be vouched for, otherwise many callers a question.

A question costs the client of MongoDB 600 µs of CPU, however little is asked, and its caller 3 ms: carts and quotes, which ask for two
products each, would spend more on it than on all else they do.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, cast

import bson
from pymongo.asynchronous.collection import AsyncCollection

from services.catalog.categories import reachable
from services.catalog.documents import Document, from_document, projection
from services.catalog.memory import Memory
from services.catalog.model import BRIEF, Product
from services.kit.batching import Coalescer
from services.kit.values import value

if TYPE_CHECKING:
    from pymongo.asynchronous.command_cursor import AsyncRawBatchCommandCursor

_MATCHED_BY = frozenset({"product_id", "variants.sku"})
_CHANGES: Sequence[Document] = [{"$changeStream": {}}, {"$project": {"documentKey": 1}}]
_AWAIT_MS = 150
"""How long MongoDB waits for a change: of what is kept, trust must outlast two such waits."""
_READ_AT_ONCE = 100
_IDLE_SECONDS = 60.0
"""Nobody asks for so long: then nobody listens to changes either."""


@value
class _Wanted:
    product_ids: frozenset[str]
    skus: frozenset[str]
    fields: frozenset[str]


class _Found:
    """What one question brought, for many who asked."""

    def __init__(self, products: Sequence[Product]) -> None:
        self._by_id = {product.product_id: product for product in products}
        self._ids = {variant.sku: product.product_id for product in products for variant in product.variants}

    def of(self, wanted: _Wanted) -> list[Product]:
        """Those that one of them wants, each once."""
        ids = {*wanted.product_ids, *(self._ids[sku] for sku in wanted.skus if sku in self._ids)}
        return [product for product_id in sorted(ids) if (product := self._by_id.get(product_id))]


class ProductLookup:
    """Reads products as they are after the question: who comes while one is on its way waits for the next.

    What is told from memory may have changed within the last `TRUSTED_SECONDS`, by a change that is not answered yet.
    """

    def __init__(self, products: AsyncCollection[Document]) -> None:
        self._products = products
        self._batches = Coalescer[_Wanted, list[Product]]("products", self._find)
        self._memory: Memory | None = None
        self._is_asked = asyncio.Event()

    async def products(self, product_ids: Collection[str], skus: Collection[str], fields: Collection[str]) -> list[Product]:
        """The products that have these ids or one of these SKUs, each once, at least as far as the fields (of model.READABLE) go."""
        if not product_ids and not skus:
            return []
        self._is_asked.set()
        # All that is asked for in brief is one question, and can be kept.
        wanted = BRIEF if BRIEF.issuperset(fields) else frozenset(fields)
        return await self._batches.submit(_Wanted(frozenset(product_ids), frozenset(skus), wanted))

    async def follow(self) -> None:
        """Keeps products, and hears of their changes, while somebody asks for them. To be run again when it fails.

        Raises:
            Unavailable: MongoDB is away.
        """
        while True:
            await self._is_asked.wait()
            try:
                with reachable():
                    await self._listen()
            finally:
                self._memory = None

    async def _listen(self) -> None:
        stream: Any = await self._products.aggregate_raw_batches(_CHANGES, batchSize=_READ_AT_ONCE, maxAwaitTimeMS=_AWAIT_MS)
        async with cast("AsyncRawBatchCommandCursor[Any]", stream) as changes:  # other than pymongo declares
            self._memory = memory = Memory()
            last_asked = time.monotonic()
            while changes.alive:
                now = time.monotonic()
                if self._is_asked.is_set():
                    last_asked = now
                    self._is_asked.clear()
                elif now - last_asked > _IDLE_SECONDS:
                    return
                batch = await changes.try_next()
                told = bson.decode_all(batch) if batch else []
                # What isn't of one document ends the stream, and with it this memory.
                changed = [each["documentKey"]["_id"] for each in told if "documentKey" in each]
                memory.heard(changed, all_since=now if len(told) < _READ_AT_ONCE else None)

    async def _find(self, asked: Sequence[_Wanted]) -> list[list[Product]]:
        # Who is told from memory waits for those who aren't: orders that set off together stay together.
        known = [self._known(wanted) for wanted in asked]
        by_fields: defaultdict[frozenset[str], list[_Wanted]] = defaultdict(list)
        for wanted, found in zip(asked, known, strict=True):
            if found is None:
                by_fields[wanted.fields].append(wanted)
        read = {fields: _Found(await self._matching(group, fields)) for fields, group in by_fields.items()}
        return [read[wanted.fields].of(wanted) if found is None else found for wanted, found in zip(asked, known, strict=True)]

    def _known(self, wanted: _Wanted) -> list[Product] | None:
        if self._memory is None or wanted.fields != BRIEF:
            return None
        return self._memory.find(wanted.product_ids, wanted.skus)

    async def _matching(self, asked: Sequence[_Wanted], fields: frozenset[str]) -> list[Product]:
        memory = self._memory
        if memory is None or fields != BRIEF:
            return await self._read(asked, fields)
        with memory.question() as changed:
            products = await self._read(asked, fields)
            memory.keep(products, changed)
        return products

    async def _read(self, asked: Sequence[_Wanted], fields: frozenset[str]) -> list[Product]:
        ways: list[Document] = []
        if product_ids := sorted({product_id for wanted in asked for product_id in wanted.product_ids}):
            ways.append({"_id": {"$in": product_ids}})
        if skus := sorted({sku for wanted in asked for sku in wanted.skus}):
            ways.append({"variants.sku": {"$in": skus}})
        question = ways[0] if len(ways) == 1 else {"$or": ways}
        with reachable():
            return [from_document(document) async for document in self._products.find(question, projection(fields | _MATCHED_BY))]
