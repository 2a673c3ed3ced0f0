"""Carts over a real socket, with neighbours that can be told what to answer, and the store on a real database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest

from bazaar.cart.v1.cart_service_pb2_grpc import CartServiceStub
from bazaar.catalog.v1 import catalog_pb2, catalog_service_pb2, catalog_service_pb2_grpc
from bazaar.inventory.v1 import inventory_service_pb2, inventory_service_pb2_grpc
from bazaar.pricing.v1 import pricing_pb2, pricing_service_pb2, pricing_service_pb2_grpc
from bazaar.type.v1 import money_pb2
from services.cart import SERVICE
from services.cart.store import CartStore
from services.kit.database import Database
from services.kit.errors import Unavailable
from services.kit.events.postgres_bus import MIGRATIONS as EVENT_MIGRATIONS
from services.kit.migrations import KIT_MIGRATIONS, migrate
from services.kit.service import Parts, Service
from tests.serving import serving


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
            availabilities=[availability(sku=line.sku, available=self.stock.get(line.sku, 0)) for line in request.lines]
        )


def neighbours(world: World) -> list[Service]:
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


@pytest.fixture(scope="module")
async def cart_url(module_database_url: str) -> str:
    assert SERVICE.migrations
    await migrate(module_database_url, [("kit", KIT_MIGRATIONS), ("cart", SERVICE.migrations)])
    return module_database_url


@pytest.fixture
async def database(cart_url: str) -> AsyncIterator[Database]:
    database = Database(cart_url, max_connections=8)
    await database.open()
    yield database
    await database.close()


@pytest.fixture(scope="module")
def serving_world() -> World:
    return World()


@pytest.fixture
def world(serving_world: World) -> Iterator[World]:
    """The neighbours' world, with all of them at home."""
    yield serving_world
    serving_world.away.clear()


@pytest.fixture(scope="module")
async def stub(
    cart_url: str, postgres: Any, serving_world: World, tmp_path_factory: pytest.TempPathFactory, short_directory: Any
) -> AsyncIterator[Any]:
    events_url = postgres.fresh_database()
    await migrate(events_url, [("events", EVENT_MIGRATIONS)])
    services, secrets = [SERVICE, *neighbours(serving_world)], tmp_path_factory.mktemp("cart-secrets")
    async with serving(services, secrets, short_directory, database_url=cart_url, events_url=events_url) as channel:
        yield CartServiceStub(channel)


@pytest.fixture
def carts(database: Database) -> CartStore:
    return CartStore(database)
