"""The services that others ask what products are, cost and have in stock: served for real, told what to answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import grpc

from bazaar.catalog.v1 import catalog_pb2, catalog_service_pb2, catalog_service_pb2_grpc
from bazaar.inventory.v1 import inventory_service_pb2, inventory_service_pb2_grpc
from bazaar.pricing.v1 import pricing_pb2, pricing_service_pb2, pricing_service_pb2_grpc
from bazaar.type.v1 import money_pb2
from services.kit.errors import Unavailable
from services.kit.service import Parts, Service


@dataclass
class World:
    """What the neighbours know."""

    products: dict[str, catalog_pb2.Product] = field(default_factory=dict)
    prices: dict[str, tuple[str, int]] = field(default_factory=dict)
    stock: dict[str, int] = field(default_factory=dict)
    away: set[str] = field(default_factory=set)

    def sell(self, product_id: str, *skus: str, price: int = 500, currency: str = "INR", units: int = 10) -> None:
        """Puts a product on sale; its SKU is its id when none is named."""
        variants = [catalog_pb2.Variant(sku=sku) for sku in skus or (product_id,)]
        product = catalog_pb2.Product(product_id=product_id, title=product_id.title(), state=catalog_pb2.Product.ACTIVE, variants=variants)
        self.products[product_id] = product
        for variant in variants:
            self.prices[variant.sku] = (currency, price)
            self.stock[variant.sku] = units

    def check(self, neighbour: str) -> None:
        if neighbour in self.away:
            raise Unavailable(f"{neighbour} is away")

    # Each neighbour answers its one method.

    async def BatchGetProducts(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        self.check("catalog")
        wanted, skus = set(request.product_ids), set(request.skus)
        found = [
            product
            for product in self.products.values()
            if product.product_id in wanted or skus.intersection(variant.sku for variant in product.variants)
        ]
        return catalog_service_pb2.BatchGetProductsResponse(products=found)

    async def BatchGetPrices(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        self.check("pricing")
        prices = [(sku, *self.prices[sku]) for sku in request.skus if sku in self.prices]
        return pricing_service_pb2.BatchGetPricesResponse(
            prices=[
                pricing_pb2.Price(sku=sku, amount=money_pb2.Money(currency_code=currency, minor_units=minor_units))
                for sku, currency, minor_units in prices
                if request.currency in ("", currency)
            ]
        )

    async def BatchCheckStock(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        self.check("inventory")
        availability = inventory_service_pb2.BatchCheckStockResponse.Availability
        return inventory_service_pb2.BatchCheckStockResponse(
            availabilities=[
                availability(sku=line.sku, available=units, in_stock=units >= line.quantity)
                for line in request.lines
                for units in (self.stock.get(line.sku, 0),)
            ]
        )


def neighbours(world: World) -> list[Service]:
    """Catalogue, pricing and inventory of a world."""
    catalog = type(
        "Catalog", (catalog_service_pb2_grpc.CatalogServiceServicer,), {"BatchGetProducts": staticmethod(world.BatchGetProducts)}
    )
    pricing = type("Pricing", (pricing_service_pb2_grpc.PricingServiceServicer,), {"BatchGetPrices": staticmethod(world.BatchGetPrices)})
    stock = {"BatchCheckStock": staticmethod(world.BatchCheckStock)}
    inventory = type("Inventory", (inventory_service_pb2_grpc.InventoryServiceServicer,), stock)
    return [
        Service("catalog", lambda kit: Parts([(catalog_service_pb2_grpc.add_CatalogServiceServicer_to_server, catalog())])),
        Service("pricing", lambda kit: Parts([(pricing_service_pb2_grpc.add_PricingServiceServicer_to_server, pricing())])),
        Service("inventory", lambda kit: Parts([(inventory_service_pb2_grpc.add_InventoryServiceServicer_to_server, inventory())])),
    ]
