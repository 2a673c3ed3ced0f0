"""The statements that every change of stock is made of.

Lock order, the same everywhere, so that nobody waits in a circle: reservations by order id, new balances by key, balances by key, new
reservations by order id. A SKU's balances are locked together; whoever holds them may change the SKU's holds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, LiteralString

import orjson

from services.inventory.model import Balance, Entry
from services.kit.database import Connection, Result
from services.kit.values import value

# The SKUs that are named, and those that the reservations of the orders hold; their rows are locked by then.
_SKUS = """
%(skus)s::text[] || ARRAY(
    SELECT part ->> 0 FROM reservations, jsonb_array_elements(allocations) AS part WHERE order_id = ANY(%(orders)s::uuid[])
)
"""
_LOCK = f"""
SELECT sku, warehouse_id, on_hand, reserved, version FROM balances WHERE sku = ANY({_SKUS})
ORDER BY sku, warehouse_id FOR NO KEY UPDATE
"""

# A statement of its own: it has to see what was committed while the locks were waited for.
_FOLD = f"""
WITH wanted AS MATERIALIZED (SELECT {_SKUS} AS skus),
moment AS MATERIALIZED (
    SELECT greatest(clock_timestamp(), (SELECT max(folded_until) FROM balances WHERE sku = ANY((SELECT skus FROM wanted)::text[]))) AS at
),
due AS (
    DELETE FROM holds WHERE sku = ANY((SELECT skus FROM wanted)::text[]) AND expires_at <= (SELECT at FROM moment)
    RETURNING sku, warehouse_id, quantity
),
freed AS (SELECT sku, warehouse_id, sum(quantity) AS units FROM due GROUP BY sku, warehouse_id),
folded AS (
    UPDATE balances SET reserved = reserved - units, version = version + 1, folded_until = moment.at
    FROM freed, moment WHERE balances.sku = freed.sku AND balances.warehouse_id = freed.warehouse_id
    RETURNING balances.sku, balances.warehouse_id, on_hand, reserved, version
)
SELECT moment.at, folded.* FROM moment LEFT JOIN folded ON true
"""

_OPEN_BALANCES = """
INSERT INTO balances (sku, warehouse_id, on_hand)
SELECT sku, warehouse_id, 0 FROM json_to_recordset(%s::json) AS wanted (sku text, warehouse_id text)
ORDER BY sku COLLATE "C", warehouse_id COLLATE "C" ON CONFLICT DO NOTHING
"""

# Names the SKUs twice: joined alone, a list is taken for as long as a shop with few products, and all balances would be read for it.
_WRITE_BALANCES = """
UPDATE balances SET on_hand = new.on_hand, reserved = new.reserved, version = new.version
FROM json_to_recordset(%s::json) AS new (sku text, warehouse_id text, on_hand bigint, reserved bigint, version bigint)
WHERE balances.sku = ANY(%s::text[]) AND balances.sku = new.sku AND balances.warehouse_id = new.warehouse_id
"""

_APPEND_ENTRIES = """
INSERT INTO ledger (sku, warehouse_id, kind, units, reference, note)
SELECT * FROM json_to_recordset(%s::json) AS new (sku text, warehouse_id text, kind text, units bigint, reference text, note text)
"""


@value
class Locked:
    """Every balance of some SKUs, locked by this transaction."""

    at: datetime
    """The instant that expiry is to be judged by: the database's clock, but never before what was folded already."""
    found: Sequence[Balance]
    """As they were, by SKU and warehouse."""
    balances: Sequence[Balance]
    """With what is due at that instant folded back."""


async def lock_balances(tx: Connection, skus: Collection[str]) -> Locked:
    """Locks every balance of the SKUs and folds back what is due."""
    return await locked_balances(*await tx.execute_all(*locking(skus)))


def locking(skus: Collection[str], orders: Collection[str] = ()) -> Sequence[tuple[LiteralString, dict[str, list[str]]]]:
    """The statements that `lock_balances` runs, for what goes with others in one trip: those SKUs, and those held for the orders."""
    wanted = {"skus": list(skus), "orders": list(orders)}
    return ((_LOCK, wanted), (_FOLD, wanted))


async def locked_balances(locked: Result, folded: Result) -> Locked:
    """What the answers to `locking` say."""
    found = list(map(balance_of, await locked.fetchall()))
    now = await folded.fetchall()
    return Locked(now[0]["at"], found, replaced(found, [balance for balance in map(balance_of, now) if balance.sku]))


def replaced(balances: Sequence[Balance], changed: Sequence[Balance]) -> Sequence[Balance]:
    """Balances, some of which have changed."""
    return list(({of.key: of for of in balances} | {of.key: of for of in changed}).values()) if changed else balances


def open_balances(tx: Connection, keys: Iterable[tuple[str, str]]) -> None:
    """Makes sure that there is a row for each SKU and warehouse, to be locked next."""
    wanted = [{"sku": sku, "warehouse_id": warehouse_id} for sku, warehouse_id in keys]
    tx.defer(_OPEN_BALANCES, [recordset(wanted)])


def write_balances(tx: Connection, balances: Sequence[Balance]) -> None:
    """Writes locked balances as they are now."""
    if balances:
        tx.defer(_WRITE_BALANCES, [recordset(balances), [of.sku for of in balances]])


def append_entries(tx: Connection, entries: Sequence[Entry]) -> None:
    """Writes movements into the ledger, in this order."""
    if entries:
        tx.defer(_APPEND_ENTRIES, [recordset(entries)])


def balance_of(row: dict[str, Any]) -> Balance:
    return Balance(row["sku"], row["warehouse_id"], row["on_hand"], row["reserved"], row["version"])


def recordset(rows: Sequence[Any]) -> str:
    """Rows (dicts or dataclasses) as json_to_recordset takes them: psycopg turns lists into arrays in Python, at ten times the cost."""
    return orjson.dumps(rows).decode()
