"""The statements that every change of stock is made of.

Lock order, the same everywhere, so that nobody waits in a circle: reservations by order id, new balances by key, balances by key, new
reservations by order id. A SKU's balances are locked together; whoever holds them may change the SKU's holds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from services.inventory.model import Balance, Entry
from services.kit.database import Connection

_EPOCH = datetime.fromtimestamp(0, UTC)

_LOCK = """
SELECT sku, warehouse_id, on_hand, reserved, version, folded_until FROM balances WHERE sku = ANY(%s)
ORDER BY sku, warehouse_id FOR NO KEY UPDATE
"""

# A statement of its own: it has to see what was committed while the locks were waited for.
_FOLD = """
WITH moment AS MATERIALIZED (SELECT greatest(clock_timestamp(), %s::timestamptz) AS at),
due AS (
    DELETE FROM holds USING moment WHERE holds.sku = ANY(%s) AND holds.expires_at <= moment.at
    RETURNING holds.sku, holds.warehouse_id, holds.quantity
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
SELECT sku, warehouse_id, 0 FROM unnest(%s::text[], %s::text[]) AS wanted (sku, warehouse_id)
ORDER BY sku COLLATE "C", warehouse_id COLLATE "C" ON CONFLICT DO NOTHING
"""

_WRITE_BALANCES = """
UPDATE balances SET on_hand = new.on_hand, reserved = new.reserved, version = new.version
FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[]) AS new (sku, warehouse_id, on_hand, reserved, version)
WHERE balances.sku = new.sku AND balances.warehouse_id = new.warehouse_id
"""

_APPEND_ENTRIES = """
INSERT INTO ledger (sku, warehouse_id, kind, units, reference, note)
SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::bigint[], %s::text[], %s::text[])
"""


async def lock_balances(tx: Connection, skus: Collection[str]) -> tuple[datetime, list[Balance]]:
    """Locks every balance of the SKUs and folds back what is due.

    Returns:
        The instant that expiry is to be judged by in this transaction, and the balances by SKU and warehouse. The instant is the
        database's clock, but never before what was folded already.
    """
    wanted = sorted(skus)
    rows = await (await tx.execute(_LOCK, [wanted])).fetchall()
    floor = max((row["folded_until"] for row in rows), default=_EPOCH)
    folded = await (await tx.execute(_FOLD, [floor, wanted])).fetchall()
    balances = {balance.key: balance for balance in map(balance_of, rows)}
    balances |= {balance.key: balance for balance in map(balance_of, folded) if balance.sku}
    return folded[0]["at"], list(balances.values())


async def open_balances(tx: Connection, keys: Iterable[tuple[str, str]]) -> None:
    """Makes sure that there is a row for each SKU and warehouse, to be locked next."""
    await tx.execute(_OPEN_BALANCES, columns(sorted(set(keys)), 2))


async def write_balances(tx: Connection, balances: Sequence[Balance]) -> None:
    """Writes locked balances as they are now."""
    if balances:
        changed = [(of.sku, of.warehouse_id, of.on_hand, of.reserved, of.version) for of in balances]
        await tx.execute(_WRITE_BALANCES, columns(changed, 5))


async def append_entries(tx: Connection, entries: Sequence[Entry]) -> None:
    """Writes movements into the ledger, in this order."""
    if entries:
        moved = [(of.sku, of.warehouse_id, of.kind, of.units, of.reference, of.note) for of in entries]
        await tx.execute(_APPEND_ENTRIES, columns(moved, 6))


def balance_of(row: dict[str, Any]) -> Balance:
    return Balance(row["sku"], row["warehouse_id"], row["on_hand"], row["reserved"], row["version"])


def columns(rows: Sequence[tuple[Any, ...]], width: int) -> list[list[Any]]:
    """Rows as one list a column, as unnest takes them."""
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]
