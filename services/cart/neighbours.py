"""What a cart needs to know of catalogue, pricing and inventory: asked at once, and not for long."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

import grpc
from google.protobuf.field_mask_pb2 import FieldMask
from grpc.aio import AioRpcError

from bazaar.catalog.v1 import catalog_pb2, catalog_service_pb2
from bazaar.inventory.v1 import inventory_pb2, inventory_service_pb2
from bazaar.pricing.v1 import pricing_service_pb2
from services.cart.model import Cart, Facts, Product
from services.kit.errors import Unavailable
from services.kit.money import Money

if TYPE_CHECKING:
    # Only the type stubs tell asynchronous stubs apart.
    from bazaar.catalog.v1.catalog_service_pb2_grpc import CatalogServiceAsyncStub
    from bazaar.inventory.v1.inventory_service_pb2_grpc import InventoryServiceAsyncStub
    from bazaar.pricing.v1.pricing_service_pb2_grpc import PricingServiceAsyncStub

T = TypeVar("T")

TIMEOUT_SECONDS = 1.0
_SHOWN = FieldMask(paths=["product_id", "title", "state", "variants.sku"])
_AWAY = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED}


class Neighbours:
    """Asks the services that a cart's answer is made from."""

    def __init__(self, catalog: CatalogServiceAsyncStub, pricing: PricingServiceAsyncStub, inventory: InventoryServiceAsyncStub) -> None:
        self._catalog = catalog
        self._pricing = pricing
        self._inventory = inventory

    async def product(self, product_id: str) -> list[Product]:
        """A product by its id: one, or none when there is no such product.

        Raises:
            Unavailable: the catalogue can't be asked.
        """
        request = catalog_service_pb2.BatchGetProductsRequest(product_ids=[product_id], read_mask=_SHOWN)
        try:
            response = await self._catalog.BatchGetProducts(request, timeout=TIMEOUT_SECONDS)
        except AioRpcError as error:
            if error.code() in _AWAY:
                raise catalog_away() from error
            raise
        return [_product(product) for product in response.products]

    async def facts(self, cart: Cart, *others: str) -> Facts:
        """What is known now of a cart's items, and of other SKUs."""
        skus = list(dict.fromkeys([*cart.skus, *others]))
        if not skus:
            return Facts(frozenset(), {}, {}, {})
        products, prices, available = await asyncio.gather(
            _unless_away(self._products(skus)), _unless_away(self._prices(skus, cart.currency)), _unless_away(self._available(skus))
        )
        return Facts(frozenset(skus), products, prices, available)

    async def _products(self, skus: Sequence[str]) -> Mapping[str, Product]:
        request = catalog_service_pb2.BatchGetProductsRequest(skus=skus, read_mask=_SHOWN)
        response = await self._catalog.BatchGetProducts(request, timeout=TIMEOUT_SECONDS)
        return {sku: product for product in map(_product, response.products) for sku in product.skus}

    async def _prices(self, skus: Sequence[str], currency: str) -> Mapping[str, Money]:
        request = pricing_service_pb2.BatchGetPricesRequest(skus=skus, currency=currency)
        response = await self._pricing.BatchGetPrices(request, timeout=TIMEOUT_SECONDS)
        return {price.sku: Money(price.amount.currency_code, price.amount.minor_units) for price in response.prices}

    async def _available(self, skus: Sequence[str]) -> Mapping[str, int]:
        lines = [inventory_pb2.StockLine(sku=sku, quantity=1) for sku in skus]
        response = await self._inventory.BatchCheckStock(inventory_service_pb2.BatchCheckStockRequest(lines=lines), timeout=TIMEOUT_SECONDS)
        return {stock.sku: stock.available for stock in response.availabilities}


def catalog_away() -> Unavailable:
    """What an unknown product is answered with while the catalogue can't say whether it exists."""
    return Unavailable("The catalogue can't be asked.", retry_after=timedelta(seconds=1), service="catalog")


async def _unless_away(question: Awaitable[T]) -> T | None:
    """The answer; None where there is none to be had, whatever the cause: a cart is shown without it."""
    try:
        return await question
    except AioRpcError:
        return None


def _product(message: catalog_pb2.Product) -> Product:
    return Product(
        product_id=message.product_id,
        title=message.title,
        is_on_sale=message.state == catalog_pb2.Product.ACTIVE,
        skus=tuple(variant.sku for variant in message.variants),
    )
