"""Products for tests of the catalogue."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from bazaar.catalog.v1 import catalog_service_pb2 as pb
from bazaar.catalog.v1.catalog_pb2 import Product, Variant
from bazaar.pricing.v1 import pricing_pb2, pricing_service_pb2, pricing_service_pb2_grpc
from bazaar.type.v1.money_pb2 import Money
from tests.serving import Client
from tests.shop import ADMIN, Shop


def new_id(prefix: str = "p") -> str:
    return f"{prefix}-{uuid4().hex[:12]}"


def a_product(product_id: str = "", *skus: str, path: tuple[str, ...] = ("Toys", "Screens"), **fields: Any) -> Product:
    variants = [Variant(sku=sku) for sku in skus]
    return Product(product_id=product_id, category_path=path, variants=variants, **{"title": "TV", **fields})


async def created(staff: Client, product: Product) -> Product:
    return (await staff.CreateProduct(pb.CreateProductRequest(product=product))).product


async def set_price(shop: Shop, sku: str, *amounts: tuple[str, int]) -> None:
    prices = [pricing_pb2.Price(sku=sku, amount=Money(currency_code=currency, minor_units=units)) for currency, units in amounts]
    pricing = shop.stub(pricing_service_pb2_grpc.PricingServiceStub, ADMIN)
    await pricing.BatchSetPrices(pricing_service_pb2.BatchSetPricesRequest(prices=prices))
