"""What a Top 10 shows of each product, asked from the services that know it; what can't be asked in time is left out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, TypeVar

import grpc
from google.protobuf.field_mask_pb2 import FieldMask

from bazaar.catalog.v1 import catalog_pb2, catalog_service_pb2
from bazaar.inventory.v1 import inventory_pb2, inventory_service_pb2
from bazaar.pricing.v1 import pricing_pb2, pricing_service_pb2
from bazaar.ranking.v1 import ranking_pb2
from services.kit.values import value

if TYPE_CHECKING:
    from bazaar.catalog.v1.catalog_service_pb2_grpc import CatalogServiceAsyncStub
    from bazaar.inventory.v1.inventory_service_pb2_grpc import InventoryServiceAsyncStub
    from bazaar.pricing.v1.pricing_service_pb2_grpc import PricingServiceAsyncStub

_SECONDS = 1.0
_SHOWN = FieldMask(paths=["product_id", "title", "brand", "category_id", "image_urls", "variants.sku"])
T = TypeVar("T")


@value
class Told:
    """What could be learnt of products."""

    details: dict[str, ranking_pb2.ProductDetails]
    """By product id; products that the catalogue doesn't know, or can't tell of now, are left out."""
    away: frozenset[str] = frozenset()
    """The services that couldn't be asked."""


class Details:
    """Titles from the catalogue, prices from pricing, stock from inventory."""

    def __init__(self, catalog: CatalogServiceAsyncStub, pricing: PricingServiceAsyncStub, inventory: InventoryServiceAsyncStub) -> None:
        self._catalog = catalog
        self._pricing = pricing
        self._inventory = inventory

    async def of(self, product_ids: Sequence[str]) -> Told:
        """Titles, prices and stock of products."""
        if not product_ids:
            return Told({})
        ask = catalog_service_pb2.BatchGetProductsRequest(product_ids=product_ids, read_mask=_SHOWN)
        answer = await _or_none(self._catalog.BatchGetProducts(ask, timeout=_SECONDS))
        if answer is None:
            return Told({}, frozenset({"catalog"}))
        skus = [product.variants[0].sku for product in answer.products if product.variants]
        prices, stock = await asyncio.gather(self._prices(skus), self._in_stock(skus))
        away = frozenset(service for service, told in (("pricing", prices), ("inventory", stock)) if told is None)
        return Told({product.product_id: _details(product, prices or {}, stock or set()) for product in answer.products}, away)

    async def category_of(self, product_id: str) -> str:
        """The category of a product; empty when the catalogue doesn't know the product."""
        ask = catalog_service_pb2.BatchGetProductsRequest(product_ids=[product_id], read_mask=FieldMask(paths=["category_id"]))
        answer = await self._catalog.BatchGetProducts(ask, timeout=_SECONDS)
        return answer.products[0].category_id if answer.products else ""

    async def _prices(self, skus: Sequence[str]) -> dict[str, pricing_pb2.Price] | None:
        answer = await _or_none(self._pricing.BatchGetPrices(pricing_service_pb2.BatchGetPricesRequest(skus=skus), timeout=_SECONDS))
        return {price.sku: price for price in answer.prices} if answer else None

    async def _in_stock(self, skus: Sequence[str]) -> set[str] | None:
        lines = [inventory_pb2.StockLine(sku=sku, quantity=1) for sku in skus]
        if not lines:
            return set()
        answer = await _or_none(
            self._inventory.BatchCheckStock(inventory_service_pb2.BatchCheckStockRequest(lines=lines), timeout=_SECONDS)
        )
        return {found.sku for found in answer.availabilities if found.in_stock} if answer else None


async def _or_none(call: Awaitable[T]) -> T | None:
    try:
        return await call
    except grpc.aio.AioRpcError:
        return None


def _details(product: catalog_pb2.Product, prices: dict[str, pricing_pb2.Price], in_stock: set[str]) -> ranking_pb2.ProductDetails:
    sku = product.variants[0].sku if product.variants else ""
    details = ranking_pb2.ProductDetails(
        title=product.title,
        brand=product.brand,
        category_id=product.category_id,
        image_url=product.image_urls[0] if product.image_urls else "",
        in_stock=sku in in_stock,
    )
    if price := prices.get(sku):
        details.price.CopyFrom(price.amount)
    return details
