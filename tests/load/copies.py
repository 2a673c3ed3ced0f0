"""A shop that has been there for long: copies of its orders or of its products, written past its services."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import psycopg
from pymongo import MongoClient

from services.catalog import DATABASE
from tests.shell import Shell
from tools import secrets
from tools.home import Home
from tools.loading.pacing import Told
from tools.servers.mongo import Mongo
from tools.shop.screen import bar

TEMPLATES = 100
AT_ONCE = 50_000
DAYS = 30
"""The copies' ids are spread over the last so many days, as ids made by time would be."""
PRODUCTS_AT_ONCE = 5_000
STILL_SECONDS = 10

_ID = "(lpad(to_hex({first}::bigint + n * {step}), 12, '0') || '7{kind}008000' || lpad(to_hex(n), 12, '0'))::uuid"
_ORDER, _PAYMENT = "an order's id", "a payment's id"
_KINDS = {_ORDER: "0", _PAYMENT: "1"}
_SKU = "'copy-' || n"

_CHOOSE = """
CREATE TEMP TABLE originals AS
SELECT chosen.place, kept.*
FROM unnest(%s::text[]) WITH ORDINALITY AS chosen (id, place) JOIN {table} AS kept ON kept.{key}::text = chosen.id
"""

Table = tuple[str, str, str, Mapping[str, str]]
"""A service, its table, the column that says what a row is about, and what a copy has in place of the original's values."""

_OF_ORDERS: Sequence[Table] = (
    ("orders", "orders", "order_id", {"order_id": _ORDER}),
    ("orders", "order_contents", "order_id", {"order_id": _ORDER}),
    ("orders", "order_requests", "order_id", {"order_id": _ORDER, "request_id": "'copy-' || n"}),
    ("inventory", "reservations", "order_id", {"order_id": _ORDER}),
    ("inventory", "ledger", "reference", {"reference": _ORDER}),
    ("payments", "payments", "order_id", {"order_id": _ORDER, "payment_id": _PAYMENT}),
)
_OF_PRODUCTS: Sequence[Table] = (
    ("pricing", "prices", "sku", {"sku": _SKU}),
    ("inventory", "balances", "sku", {"sku": _SKU, "on_hand": "1000", "reserved": "0"}),
    ("inventory", "ledger", "sku", {"sku": _SKU, "kind": "'RECEIVED'", "units": "1000", "reference": "'copies'"}),
)


def copy_orders(shell: Shell, count: int) -> None:
    """Copies confirmed orders, with what inventory and payments keep of them.

    Nothing was taken from stock for the copies, and no ranking counts them.
    """
    with psycopg.connect(shell.database("orders")) as connection:
        statement = "SELECT order_id::text FROM orders WHERE state = 'CONFIRMED' ORDER BY order_id LIMIT %s"
        templates = [row[0] for row in connection.execute(statement, [TEMPLATES])]
    with bar(f"{count:,} orders", count * len(_OF_ORDERS)) as told:
        _copy_rows(shell, _OF_ORDERS, templates, count, told)


def copy_products(shell: Shell, count: int) -> None:
    """Copies products, with prices and stock; returns once every service has heard of them."""
    with MongoClient[dict[str, Any]](_mongo(shell.home)) as client:
        database = client[DATABASE]
        originals = list(database["products"].find({"variants": {"$size": 1}}).sort("_id", 1).limit(TEMPLATES))
        with bar(f"{count:,} products", count) as told:
            for first in range(0, count, PRODUCTS_AT_ONCE):
                numbers = range(first, min(first + PRODUCTS_AT_ONCE, count))
                database["products"].insert_many(_products(originals, numbers), ordered=False)
                database["skus"].insert_many([{"_id": f"copy-{n}", "product_id": f"copy-{n}"} for n in numbers], ordered=False)
                told(numbers.stop)
    templates = [original["variants"][0]["sku"] for original in originals]
    with bar("prices, stock", count * len(_OF_PRODUCTS)) as told:
        _copy_rows(shell, _OF_PRODUCTS, templates, count, told)
    with bar("events of products", count) as told:
        _wait_for_events(shell, count, told)


def _mongo(home: Home) -> str:
    vault, port = home.folder("secrets"), json.loads(home.ports.read_text())["mongo"]
    return Mongo(home.folder("mongo"), secrets.read(vault, "mongo_password"), secrets.read(vault, "mongo_keyfile"), port).url


def _products(originals: Sequence[dict[str, Any]], numbers: range) -> Iterator[dict[str, Any]]:
    for n in numbers:
        original = originals[n % len(originals)]
        yield {**original, "_id": f"copy-{n}", "variants": [{**original["variants"][0], "sku": f"copy-{n}"}]}


def _wait_for_events(shell: Shell, count: int, told: Told) -> None:
    """Until the catalogue has published so many events and tells no more, and nobody has one to work yet.

    It may tell twice: so many products at once can push each other out of MongoDB's log before they are read, and then all are told of.
    """
    behind = """SELECT count(*) FROM partitions JOIN leases ON leases.partition_id = partitions.id
        WHERE topic = 'catalog' AND leases.position < partitions.head"""
    with (
        psycopg.connect(shell.database("events"), autocommit=True) as bus,
        psycopg.connect(shell.database("catalog"), autocommit=True) as own,
    ):
        published, still_since = -1, time.monotonic()
        while published < count or time.monotonic() - still_since < STILL_SECONDS or _number(bus, behind):
            now = _number(bus, "SELECT sum(head) FROM partitions WHERE topic = 'catalog'")
            if now != published or _number(own, "SELECT count(found_up_to) FROM places"):
                published, still_since = now, time.monotonic()
            told(min(published, count))
            time.sleep(1)


def _number(connection: psycopg.Connection[Any], query: str) -> int:
    row = connection.execute(query.encode()).fetchone()
    return int(row[0]) if row else 0


def _copy_rows(shell: Shell, tables: Sequence[Table], templates: Sequence[str], count: int, told: Told) -> None:
    for place, table in enumerate(tables):
        with psycopg.connect(shell.database(table[0]), autocommit=True) as connection:
            connection.execute(_CHOOSE.format(table=table[1], key=table[2]).encode(), [list(templates)])
            copy = _copying(connection, table, count)
            for first in range(0, count, AT_ONCE):
                last = min(first + AT_ONCE, count)
                connection.execute(copy, {"first": first, "last": last - 1, "templates": len(templates)})
                told(place * count + last)
            connection.execute(f"VACUUM ANALYZE {table[1]}".encode())


def _copying(connection: psycopg.Connection[Any], table: Table, count: int) -> bytes:
    _, name, _, overrides = table
    listed = "SELECT column_name FROM information_schema.columns WHERE table_name = %s AND is_identity = 'NO' ORDER BY ordinal_position"
    columns = [row[0] for row in connection.execute(listed, [name])]
    values = [_value(overrides[column], count) if column in overrides else f"original.{column}" for column in columns]
    return f"""INSERT INTO {name} ({", ".join(columns)}) SELECT {", ".join(values)}
        FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
        JOIN originals AS original ON original.place = 1 + n %% %(templates)s""".encode()


def _value(override: str, count: int) -> str:
    if override not in _KINDS:
        return override
    span = DAYS * 86_400_000
    return _ID.format(first=int(time.time() * 1000) - span, step=max(1, span // count), kind=_KINDS[override])
