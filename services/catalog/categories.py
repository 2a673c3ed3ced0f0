"""The categories in MongoDB, made by the products that stand in them."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from datetime import timedelta

from pymongo import UpdateOne
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import ConnectionFailure, PyMongoError

from services.catalog.documents import Document
from services.catalog.model import Category, CategoryNotFound, Product, categories_on
from services.kit.errors import Unavailable


@contextmanager
def reachable() -> Generator[None, None, None]:
    """Around calls to MongoDB: Unavailable where it doesn't answer, or has no primary."""
    try:
        yield
    except (TimeoutError, ConnectionFailure) as error:
        # A connection that breaks under a read carries none of the labels below.
        raise _away() from error
    except PyMongoError as error:
        if error.timeout or error.has_error_label("RetryableWriteError") or error.has_error_label("TransientTransactionError"):
            raise _away() from error
        raise


class CategoryStore:
    """Raises, from every method: Unavailable: MongoDB is away."""

    def __init__(self, database: AsyncDatabase[Document]) -> None:
        self._categories = database["categories"]

    async def prepare(self) -> None:
        """Makes the index if it is missing."""
        with reachable():
            await self._categories.create_index([("parent_category_id", 1), ("_id", 1)])

    async def category(self, category_id: str) -> Category:
        """Raises: CategoryNotFound."""
        with reachable():
            document = await self._categories.find_one({"_id": category_id})
        if document is None:
            raise CategoryNotFound("no such category", category_id=category_id)
        return category_of(document)

    async def categories(self, parent_category_id: str | None, after: str, limit: int) -> list[Category]:
        """Categories below a parent (roots: the empty parent), or all of them for None, by id."""
        wanted: Document = {} if parent_category_id is None else {"parent_category_id": parent_category_id}
        with reachable():
            found = self._categories.find({**wanted, "_id": {"$gt": after}}).sort("_id", 1).limit(limit)
            return [category_of(document) async for document in found]

    async def add_those_of(self, products: Iterable[Product]) -> None:
        """Adds what is missing, before its products: a category may be empty for a moment, a product's category is always there."""
        wanted: dict[str, Category] = {}
        for path in dict.fromkeys(product.category_path for product in products):
            for category in categories_on(path):
                wanted.setdefault(category.category_id, category)
        with reachable():
            known = {row["_id"] async for row in self._categories.find({"_id": {"$in": list(wanted)}}, {"_id": 1})}
            missing = [
                UpdateOne(
                    {"_id": category_id},
                    {"$setOnInsert": _document(category)},
                    upsert=True,
                )
                for category_id, category in wanted.items()
                if category_id not in known
            ]
            if missing:
                await self._categories.bulk_write(missing, ordered=False)


def _away() -> Unavailable:
    return Unavailable("the catalogue's database is away", retry_after=timedelta(seconds=1))


def category_of(document: Document) -> Category:
    """A category as it is stored."""
    return Category(document["_id"], document["title"], document["parent_category_id"], tuple(document["path"]))


def _document(category: Category) -> Document:
    return {"title": category.title, "parent_category_id": category.parent_category_id, "path": list(category.path)}
