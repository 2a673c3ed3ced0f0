"""Products for tests of the stores, and a catalogue's stores in a database of their own."""

from __future__ import annotations

from datetime import UTC, datetime

from pymongo import AsyncMongoClient

from services.catalog.categories import CategoryStore
from services.catalog.model import Product, State, Variant, completed
from services.catalog.store import ProductStore, Section
from services.kit.mongo import Document

NOW = datetime(2026, 5, 2, tzinfo=UTC)


def a_product(product_id: str, *skus: str, path: tuple[str, ...] = ("Toys",), title: str = "TV", state: State = State.ACTIVE) -> Product:
    variants = tuple(Variant(sku) for sku in skus)
    return completed(Product(title=title, category_path=path, variants=variants, state=state), product_id, NOW)


def title_of(product: Product) -> bytes:
    return product.title.encode()


class Stores:
    def __init__(self, client: AsyncMongoClient[Document], name: str) -> None:
        self.database = client[name]
        self.categories = CategoryStore(self.database)
        self.products = ProductStore(self.database, self.categories, lambda: NOW)

    async def skus(self) -> dict[str, str]:
        return {row["_id"]: row["product_id"] async for row in self.database["skus"].find()}

    async def ids(self, section: Section) -> list[str]:
        return [product.product_id async for product in self.products.section(section, {"title"})]
