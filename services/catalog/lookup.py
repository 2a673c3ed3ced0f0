"""Products by id and by SKU, many callers a question.

A question costs the client of MongoDB 600 µs of CPU, however little is asked: carts and quotes, which ask for two products each, would
spend more on it than on all else they do.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence

from pymongo.asynchronous.collection import AsyncCollection

from services.catalog.categories import reachable
from services.catalog.documents import Document, from_document, projection
from services.catalog.model import Product
from services.kit.batching import Coalescer
from services.kit.values import value

_MATCHED_BY = frozenset({"product_id", "variants.sku"})


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
    """Reads products as they are after the question: who comes while one is on its way waits for the next."""

    def __init__(self, products: AsyncCollection[Document]) -> None:
        self._products = products
        self._batches = Coalescer[_Wanted, list[Product]]("products", self._find)

    async def products(self, product_ids: Collection[str], skus: Collection[str], fields: Collection[str]) -> list[Product]:
        """The products that have these ids or one of these SKUs, each once, at least as far as the fields (of model.READABLE) go."""
        if not product_ids and not skus:
            return []
        return await self._batches.submit(_Wanted(frozenset(product_ids), frozenset(skus), frozenset(fields)))

    async def _find(self, asked: Sequence[_Wanted]) -> list[list[Product]]:
        by_fields: defaultdict[frozenset[str], list[_Wanted]] = defaultdict(list)
        for wanted in asked:
            by_fields[wanted.fields].append(wanted)
        found = {fields: _Found(await self._matching(group, fields)) for fields, group in by_fields.items()}
        return [found[wanted.fields].of(wanted) for wanted in asked]

    async def _matching(self, asked: Sequence[_Wanted], fields: frozenset[str]) -> list[Product]:
        ways: list[Document] = []
        if product_ids := sorted({product_id for wanted in asked for product_id in wanted.product_ids}):
            ways.append({"_id": {"$in": product_ids}})
        if skus := sorted({sku for wanted in asked for sku in wanted.skus}):
            ways.append({"variants.sku": {"$in": skus}})
        question = ways[0] if len(ways) == 1 else {"$or": ways}
        with reachable():
            return [from_document(document) async for document in self._products.find(question, projection(fields | _MATCHED_BY))]
