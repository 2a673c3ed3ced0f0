"""The products in MongoDB: products, who owns which SKU, and the answers to requests.

Products are keyed by product id and nothing else of theirs is unique, so that they can be sharded by it. What must be unique besides, the
SKU, is the key of a collection of its own, written in the product's transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

import bson
from pymongo import DeleteOne, InsertOne, UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import BulkWriteError, DuplicateKeyError, PyMongoError

from services.catalog.admission import Admission, admit, taken_by_another
from services.catalog.categories import CategoryStore, reachable
from services.catalog.documents import Document, from_document, new_document, projection, to_document
from services.catalog.lookup import ProductLookup
from services.catalog.memory import SETTLED_SECONDS
from services.catalog.model import (
    EtagMismatch,
    Product,
    ProductExists,
    ProductNotFound,
    State,
)
from services.kit.clock import Clock
from services.kit.errors import Unavailable
from services.kit.idempotency import KEPT, RequestIdReused, RequestKey
from services.kit.values import value

T = TypeVar("T")

_Write = InsertOne[Document] | UpdateOne | DeleteOne

_ATTEMPTS = 5
_TRANSACTION_SECONDS = 10.0
_DUPLICATE_KEY = 11000


@value
class Section:
    """A part of the products, in the order of their ids."""

    states: Sequence[State]
    category_id: str = ""
    """With all that stands below it; empty: the whole shop."""
    after: str = ""
    """Starts behind this product id."""
    skip: int = 0


class ProductStore:
    """Raises, from every method: Unavailable: MongoDB is away."""

    def __init__(self, database: AsyncDatabase[Document], categories: CategoryStore, clock: Clock) -> None:
        self._client = database.client
        self._products = database["products"]
        self._skus = database["skus"]
        self._answers = database["answers"]
        self._categories = categories
        self.lookup = ProductLookup(self._products)
        self._clock = clock

    async def prepare(self) -> None:
        """Makes the indexes that are missing."""
        with reachable():
            await self._products.create_index([("ancestors", 1), ("state", 1), ("_id", 1)])
            await self._products.create_index([("state", 1), ("_id", 1)])
            await self._products.create_index([("variants.sku", 1)])
            await self._skus.create_index([("product_id", 1)])
            await self._answers.create_index([("created_at", 1)], expireAfterSeconds=int(KEPT.total_seconds()))

    async def product(self, product_id: str) -> Product:
        """Raises: ProductNotFound."""
        with reachable():
            document = await self._products.find_one({"_id": product_id})
        if document is None:
            raise _no_product(product_id)
        return from_document(document)

    async def section(self, section: Section, fields: Collection[str]) -> AsyncGenerator[Product, None]:
        """Products by id, as far as the fields go; read as they are asked for."""
        wanted: Document = {"state": {"$in": [state.value for state in section.states]}}
        if section.category_id:
            wanted["ancestors"] = section.category_id
        if section.after:
            wanted["_id"] = {"$gt": section.after}
        cursor = self._products.find(wanted, projection(fields)).sort("_id", 1).skip(section.skip).batch_size(101)
        async with cursor:
            with reachable():
                async for document in cursor:
                    yield from_document(document)

    async def create(self, product: Product, request: RequestKey | None, respond: Callable[[Product], bytes]) -> bytes:
        """Stores a new product and the response to its request; a repeat of the request gets the response that was given.

        Raises:
            ProductExists: the id or a SKU is taken.
            RequestIdReused: the request's id was used for another request.
        """
        await self._categories.add_those_of([product])
        response = respond(product)

        async def insert(session: AsyncClientSession) -> bytes:
            if (given := await self._answer_to(request, session)) is not None:
                return given
            await self._products.insert_one(new_document(product), session=session)
            await self._skus.insert_many(
                [{"_id": each.sku, "product_id": product.product_id} for each in product.variants], session=session
            )
            if request:
                await self._answers.insert_one(_answer(request, response, self._clock()), session=session)
            return response

        try:
            return await self._transaction(insert)
        except (DuplicateKeyError, BulkWriteError) as error:
            _expect_duplicate(error)
            if (given := await self._answer_to(request)) is not None:
                return given
            raise ProductExists("the product id or a SKU is taken", product_id=product.product_id) from None

    async def change(self, product_id: str, change: Callable[[Product], Product]) -> Product:
        """Replaces a product by what a rule makes of it; the rule runs again when a rival was faster. What changes nothing isn't written.

        Returns when nobody tells of the product as it was before.

        Raises:
            ProductNotFound: there is none.
            ProductExists: a new SKU is taken.
            EtagMismatch: rivals were faster every time.
        """
        for _ in range(_ATTEMPTS):
            before = await self.product(product_id)
            after = change(before)
            if _is_same(before, after):
                # Perhaps by a change of a moment ago whose answer was lost.
                await asyncio.sleep(SETTLED_SECONDS)
                return before
            await self._categories.add_those_of([after])
            if await self._replace(before, after):
                await asyncio.sleep(SETTLED_SECONDS)
                return after
        raise EtagMismatch("the product changes too fast; try again", product_id=product_id, retry_after=timedelta(milliseconds=100))

    async def put(self, products: Sequence[Product]) -> Admission:
        """Stores products, new or in place of those with their ids; what is refused leaves the others alone, what is the same is left.

        Returns when nobody tells of those that were there as they were before.
        """
        await self._categories.add_those_of(products)
        for _ in range(_ATTEMPTS):
            try:
                admission = await self._transaction(lambda session: self._put(products, session))
                if admission.updated_count:
                    await asyncio.sleep(SETTLED_SECONDS)
                return admission
            except BulkWriteError as error:
                # A rival created one of them after this transaction had looked.
                _expect_duplicate(error)
        raise Unavailable("rivals write the same products", retry_after=timedelta(seconds=1))

    async def _put(self, products: Sequence[Product], session: AsyncClientSession) -> Admission:
        owners = await self._owners(products, session)
        admission = admit(products, owners)
        stored = set(owners.values())
        writes: list[_Write] = [
            _replacement(product) if product_id in stored else InsertOne(new_document(product))
            for product_id, product in sorted(admission.admitted.items(), key=lambda item: item[0] in stored)
        ]
        await _write(self._skus, _claims(owners, admission.owners), session)
        await _write(self._products, writes, session)
        return admission

    async def _owners(self, products: Sequence[Product], session: AsyncClientSession) -> dict[str, str]:
        ids = list({product.product_id for product in products})
        skus = list({variant.sku for product in products for variant in product.variants})
        rows = self._skus.find({"$or": [{"_id": {"$in": skus}}, {"product_id": {"$in": ids}}]}, session=session)
        return {row["_id"]: row["product_id"] async for row in rows}

    async def _replace(self, before: Product, after: Product) -> bool:
        old, new = {variant.sku for variant in before.variants}, {variant.sku for variant in after.variants}

        async def write(session: AsyncClientSession) -> bool:
            done = await self._products.update_one(
                {"_id": before.product_id, "version": before.version},
                {"$set": {**to_document(after), "version": after.version}},
                session=session,
            )
            if not done.matched_count:
                return False
            claims = _claims(dict.fromkeys(old, before.product_id), dict.fromkeys(new, before.product_id))
            await _write(self._skus, claims, session)
            return True

        try:
            return await self._transaction(write)
        except BulkWriteError as error:
            raise taken_by_another(before.product_id, str(_expect_duplicate(error))) from None

    async def _answer_to(self, request: RequestKey | None, session: AsyncClientSession | None = None) -> bytes | None:
        if request is None:
            return None
        with reachable():
            kept = await self._answers.find_one({"_id": _answer_id(request)}, session=session)
        if kept is None:
            return None
        if kept["fingerprint"] != request.fingerprint:
            raise RequestIdReused("this request id was used for a request with another content", request_id=request.key)
        return kept["response"]

    async def _transaction(self, work: Callable[[AsyncClientSession], Awaitable[T]]) -> T:
        with reachable():
            async with asyncio.timeout(_TRANSACTION_SECONDS), self._client.start_session() as session:
                return await session.with_transaction(work)


async def _write(collection: AsyncCollection[Document], writes: Sequence[_Write], session: AsyncClientSession) -> None:
    if writes:
        # In order, so that the first duplicate is the last thing said: whatever follows it in a transaction that is lost only hides it.
        await collection.bulk_write(writes, ordered=True, session=session)


def _replacement(product: Product) -> UpdateOne:
    """Of a product that isn't the same already: it keeps its version and time, and nobody is told of a change."""
    document = to_document(product)
    differing = [{name: {"$ne": value}} for name, value in document.items() if name != "updated_at"]
    return UpdateOne({"_id": product.product_id, "$or": differing}, {"$set": document, "$inc": {"version": 1}})


def _is_same(before: Product, after: Product) -> bool:
    # Not by ==, to which 1 is True.
    return bson.encode(to_document(before)) == bson.encode(to_document(replace(after, updated_at=before.updated_at)))


def _claims(before: Mapping[str, str], after: Mapping[str, str]) -> list[_Write]:
    """The writes that turn one table of product ids by SKU into another."""
    writes: list[_Write] = [DeleteOne({"_id": sku}) for sku in before.keys() - after.keys()]
    for sku, product_id in after.items():
        if sku not in before:
            writes.append(InsertOne({"_id": sku, "product_id": product_id}))
        elif before[sku] != product_id:
            writes.append(UpdateOne({"_id": sku}, {"$set": {"product_id": product_id}}))
    return writes


def _expect_duplicate(error: PyMongoError) -> Any:
    """The key that was there already; any other error is raised again."""
    if isinstance(error, DuplicateKeyError):
        details: Any = error.details
    else:
        details = next(iter(error.details["writeErrors"]), {}) if isinstance(error, BulkWriteError) else {}
    if details.get("code") != _DUPLICATE_KEY:
        raise error
    return details.get("keyValue", {}).get("_id", "")


def _answer_id(request: RequestKey) -> str:
    return f"{request.principal}\0{request.method}\0{request.key}"


def _answer(request: RequestKey, response: bytes, now: Any) -> Document:
    return {"_id": _answer_id(request), "fingerprint": request.fingerprint, "response": response, "created_at": now}


def _no_product(product_id: str) -> ProductNotFound:
    return ProductNotFound("no such product", product_id=product_id)
