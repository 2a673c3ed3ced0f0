"""What is searched, in PostgreSQL: the truth that every copy of the index is filled from.

Products, prices and stock come from three topics in any order; each part keeps the version it was told with. Whatever changes what a
product's document says gives the product the next position, under the lock on the one row of `positions`: positions become visible in
their order, and whoever has read up to one has missed nothing below it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any, LiteralString

import orjson

from services.kit.database import Connection, Database
from services.kit.values import value
from services.search.documents import Change, Document, Summary
from services.search.model import NoPreviousIndex

_LOCK = "SELECT last FROM positions FOR UPDATE"
_GIVE = "UPDATE positions SET last = (SELECT max(position) FROM products)"

_PUT_PRODUCTS = """
INSERT INTO products (product_id, version, is_shown, title, brand, description, category_path, category_id, image_url, rating, skus,
    created_at, position)
SELECT product_id, version, is_shown, title, brand, description, category_path, category_id, image_url, rating, skus, created_at,
    %(last)s::bigint + row_number() OVER ()
FROM json_to_recordset(%(told)s::json) AS told (product_id text, version bigint, is_shown boolean, title text, brand text, description text,
    category_path text[], category_id text, image_url text, rating int, skus text[], created_at timestamptz)
ON CONFLICT (product_id) DO UPDATE SET version = excluded.version, is_shown = excluded.is_shown, title = excluded.title,
    brand = excluded.brand, description = excluded.description, category_path = excluded.category_path,
    category_id = excluded.category_id, image_url = excluded.image_url, rating = excluded.rating, skus = excluded.skus,
    created_at = excluded.created_at, position = excluded.position
WHERE products.version < excluded.version
"""
_TAKE_OUT = """
INSERT INTO products (product_id, version, is_shown, title, brand, description, category_path, category_id, image_url, rating, skus,
    position)
SELECT product_id, %(version)s::bigint, false, '', '', '', '{}', '', '', 0, '{}', %(last)s::bigint + row_number() OVER ()
FROM unnest(%(told)s::text[]) AS product_id
ON CONFLICT (product_id) DO UPDATE SET version = excluded.version, is_shown = false, position = excluded.position
WHERE products.version < excluded.version
"""
_PUT_PRICES = """
INSERT INTO offers (sku, price_version, price)
SELECT sku, version, price FROM json_to_recordset(%s::json) AS told (sku text, version bigint, price bigint) ORDER BY sku
ON CONFLICT (sku) DO UPDATE SET price_version = excluded.price_version, price = excluded.price
WHERE offers.price_version < excluded.price_version RETURNING sku
"""
_PUT_STOCK = """
INSERT INTO offers (sku, stock_version, is_in_stock)
SELECT sku, version, is_in_stock FROM json_to_recordset(%s::json) AS told (sku text, version bigint, is_in_stock boolean) ORDER BY sku
ON CONFLICT (sku) DO UPDATE SET stock_version = excluded.stock_version, is_in_stock = excluded.is_in_stock
WHERE offers.stock_version < excluded.stock_version RETURNING sku
"""
_MOVE = """
WITH changed AS (SELECT product_id, row_number() OVER () AS place FROM products WHERE skus && %(told)s::text[])
UPDATE products SET position = %(last)s::bigint + place FROM changed WHERE products.product_id = changed.product_id
"""
_RATE = """
WITH told AS (SELECT key AS product_id, value::bigint AS units FROM json_each_text(%(told)s::json)), changed AS (
    SELECT product_id, coalesce(units, 0) AS units, row_number() OVER () AS place
    FROM products LEFT JOIN told USING (product_id) WHERE popularity <> coalesce(units, 0)
)
UPDATE products SET popularity = units, position = %(last)s::bigint + place FROM changed WHERE products.product_id = changed.product_id
"""
_CHANGED = """
SELECT products.*, first.price, EXISTS (SELECT FROM offers WHERE sku = ANY (skus) AND is_in_stock) AS in_stock
FROM products LEFT JOIN offers AS first ON first.sku = skus[1]
WHERE position > %s ORDER BY position LIMIT %s
"""
_STATE = "SELECT wanted, last FROM generation CROSS JOIN positions"
_SHOWN = "SELECT count(*) FILTER (WHERE is_shown) AS shown, (SELECT last FROM positions) AS last FROM products"
_ROOTS = "SELECT DISTINCT split_part(category_id, '.', 1) AS root FROM products WHERE is_shown ORDER BY 1"
_NEXT = "UPDATE generation SET previous = wanted, wanted = newest + 1, newest = newest + 1 RETURNING wanted"
_BACK = "UPDATE generation SET wanted = previous, previous = wanted WHERE previous IS NOT NULL RETURNING wanted"

GONE = 2**63 - 1
"""Version of a product that is gone."""


@value
class ProductTold:
    """A product as the catalogue tells of it."""

    product_id: str
    version: int
    is_shown: bool
    title: str
    brand: str
    description: str
    category_path: list[str]
    category_id: str
    image_url: str
    rating: int
    skus: list[str]
    created_at: datetime | None


@value
class PriceTold:
    sku: str
    version: int
    price: int


@value
class StockTold:
    sku: str
    version: int
    is_in_stock: bool


class SearchStore:
    """Raises, from every method: Unavailable: PostgreSQL is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put_products(self, told: Sequence[ProductTold]) -> None:
        """Takes products over, where they are newer than what is known. Each id once."""
        await self._database.run(lambda tx: _write(tx, _PUT_PRODUCTS, told=_json([asdict(each) for each in told])))

    async def take_out(self, product_ids: Sequence[str]) -> None:
        """Notes that products are gone. Each id once."""
        await self._database.run(lambda tx: _write(tx, _TAKE_OUT, told=list(product_ids), version=GONE))

    async def put_prices(self, told: Sequence[PriceTold]) -> None:
        """Takes prices over, where they are newer than what is known. Each SKU once."""
        await self._put_offers(_PUT_PRICES, told)

    async def put_stock(self, told: Sequence[StockTold]) -> None:
        """Takes over what is in stock, where that is newer than what is known. Each SKU once."""
        await self._put_offers(_PUT_STOCK, told)

    async def put_popularity(self, units: Mapping[str, int]) -> None:
        """Has these products be so popular, and all others not at all."""
        await self._database.run(lambda tx: _write(tx, _RATE, told=_json(units)))

    async def changed(self, position: int, limit: int) -> list[Change]:
        """What was changed after a position, in the order of positions."""
        async with self._database.connection() as connection:
            rows = await (await connection.execute(_CHANGED, [position, limit])).fetchall()
        return [_change(row) for row in rows]

    async def state(self) -> tuple[int, int]:
        """Which copy of the index is to answer, and the last position given."""
        async with self._database.connection() as connection:
            row = await (await connection.execute(_STATE)).fetchone()
        assert row is not None
        return row["wanted"], row["last"]

    async def shown(self) -> tuple[int, int]:
        """How many products are on sale, and the position of that count."""
        async with self._database.connection() as connection:
            row = await (await connection.execute(_SHOWN)).fetchone()
        assert row is not None
        return row["shown"], row["last"]

    async def roots(self) -> list[str]:
        """The root categories of what is on sale."""
        async with self._database.connection() as connection:
            return [row["root"] for row in await (await connection.execute(_ROOTS)).fetchall()]

    async def want_new_copy(self) -> int:
        """Has a new copy of the index answer, once it is filled; returns its generation."""
        async with self._database.connection() as connection:
            return await _one(await connection.execute(_NEXT), "wanted")

    async def want_previous_copy(self) -> int:
        """Has the copy answer that did before.

        Raises:
            NoPreviousIndex: there was none.
        """
        async with self._database.connection() as connection:
            row = await (await connection.execute(_BACK)).fetchone()
        if row is None:
            raise NoPreviousIndex("no copy of the index answered before this one")
        return row["wanted"]

    async def is_filled(self) -> bool:
        """Whether what was there before this service has been read."""
        async with self._database.connection() as connection:
            return await _one(await connection.execute("SELECT is_filled FROM generation"), "is_filled")

    async def filled(self) -> None:
        """Notes that it has been read."""
        async with self._database.connection() as connection:
            await connection.execute("UPDATE generation SET is_filled = true")

    async def _put_offers(self, statement: LiteralString, told: Sequence[PriceTold] | Sequence[StockTold]) -> None:
        async def put(tx: Connection) -> None:
            # Before the products are looked at: one that comes meanwhile waits for this, and is read with these offers.
            tx.defer(_LOCK)
            changed = await (await tx.execute(statement, [_json([asdict(each) for each in told])])).fetchall()
            if changed:
                await _write(tx, _MOVE, told=[row["sku"] for row in changed])

        await self._database.run(put)


async def _write(tx: Connection, statement: LiteralString, **values: Any) -> None:
    """Runs a statement that gives products new positions, those after `last`."""
    last = await _one(await tx.execute(_LOCK), "last")
    written = await tx.execute(statement, {**values, "last": last})
    if written.rowcount:
        tx.defer(_GIVE)


async def _one(cursor: Any, column: str) -> Any:
    row = await cursor.fetchone()
    assert row is not None
    return row[column]


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _change(row: Mapping[str, Any]) -> Change:
    if not row["is_shown"]:
        return Change(row["product_id"], row["position"], None)
    summary = Summary(**{field.name: row[field.name] for field in fields(Summary)})
    document = Document(summary, row["description"], row["category_path"], row["created_at"], row["popularity"])
    return Change(row["product_id"], row["position"], document)
