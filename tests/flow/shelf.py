"""A part of the catalogue that a test has for itself, and how it is searched."""

from __future__ import annotations

from typing import Any

from bazaar.catalog.v1 import catalog_service_pb2_grpc
from bazaar.search.v1 import search_service_pb2 as pb
from tests.flow.products import a_product, created, new_id, set_price
from tests.serving import Client
from tests.shop import ADMIN, Shop, category_of, eventually


class Shelf:
    """A root category of a test's own, and how it is searched."""

    def __init__(self, shop: Shop, search: Client) -> None:
        self.shop = shop
        self.search = search
        self.path = (new_id("Shelf"), "Goods")
        self.category = category_of(self.path)

    async def put(self, title: str, *skus: str, price: int = 1000, units: int = 5, **fields: Any) -> str:
        product = a_product(new_id(), *skus, path=self.path, title=title, **fields)
        await created(self.shop.stub(catalog_service_pb2_grpc.CatalogServiceStub, ADMIN), product)
        if not skus:
            await set_price(self.shop, product.product_id, ("USD", price))
        if units:
            await self.shop.receive(product.product_id, units)
        return product.product_id

    async def ask(self, **fields: Any) -> pb.SearchProductsResponse:
        return await self.search.SearchProducts(pb.SearchProductsRequest(**{"category": self.category, **fields}))

    async def titles(self, **fields: Any) -> list[str]:
        return [product.title for product in (await self.ask(**fields)).products]

    async def shows(self, *titles: str, **fields: Any) -> None:
        """Waits until just these are found, in this order."""
        await eventually(lambda: self.titles(**fields), list(titles))
