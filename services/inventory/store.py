"""Balances and their ledger in PostgreSQL: what comes in, is corrected and moved, and what can be bought now."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from services.inventory.events import told
from services.inventory.levels import Level, level
from services.inventory.model import Balance, Entry, Kind, Line, Movement, booked
from services.inventory.rows import append_entries, balance_of, lock_balances, open_balances, write_balances
from services.kit import outbox
from services.kit.database import Connection, Database
from services.kit.idempotency import Once
from services.kit.ids import uuid7

# What is due but not folded yet holds nothing any more.
_BALANCES = """
SELECT sku, warehouse_id, on_hand, version, reserved - coalesce((
    SELECT sum(quantity) FROM holds
    WHERE holds.sku = balances.sku AND holds.expires_at <= now() AND holds.warehouse_id = balances.warehouse_id
), 0)::bigint AS reserved
FROM balances WHERE sku = ANY(%s) ORDER BY sku, warehouse_id
"""

_MOVEMENTS = """
SELECT entry_id, sku, warehouse_id, kind, units, reference, note, created_at FROM ledger
WHERE sku = %s AND entry_id < %s ORDER BY entry_id DESC LIMIT %s
"""


class StockStore:
    """Changes stock otherwise than by orders, each change with its ledger entries, and reads it.

    Args:
        on_change: told the SKUs whose stock has changed, after the commit.
    """

    def __init__(self, database: Database, on_change: Callable[[Collection[str]], None]) -> None:
        self._database = database
        self._on_change = on_change

    async def receive(self, receipts: Sequence[Line], warehouse_id: str, reference: str, *, once: Once[list[Balance]]) -> bytes:
        """Books what came in: all or none. The result has one balance a SKU, in the order the SKUs were first named.

        Raises:
            StockAboveLimit: a balance would exceed 10^15 units.
        """
        entries = [Entry(line.sku, warehouse_id, Kind.RECEIVED, line.quantity, reference) for line in receipts]
        return await self._book(entries, once)

    async def adjust(self, sku: str, warehouse_id: str, units: int, reason: str, *, once: Once[list[Balance]]) -> bytes:
        """Corrects what is on hand by so many units, up or down.

        Raises:
            StockBelowZero: more would go than is available.
            StockAboveLimit: the balance would exceed 10^15 units.
        """
        return await self._book([Entry(sku, warehouse_id, Kind.ADJUSTED, units, "", reason)], once)

    async def transfer(self, sku: str, source: str, destination: str, quantity: int, *, once: Once[list[Balance]]) -> bytes:
        """Moves units between warehouses; both entries carry the transfer's id. The result has the source first.

        Raises:
            StockBelowZero: more would go than is available at the source.
            StockAboveLimit: the destination would exceed 10^15 units.
        """
        transfer_id = uuid7()
        leaves = Entry(sku, source, Kind.TRANSFERRED, -quantity, transfer_id)
        arrives = Entry(sku, destination, Kind.TRANSFERRED, quantity, transfer_id)
        return await self._book([leaves, arrives], once)

    async def balances(self, sku: str) -> list[Balance]:
        """A SKU's balances by warehouse, judged now."""
        return (await self._balances([sku])).get(sku, [])

    async def levels(self, skus: Collection[str]) -> list[Level]:
        """What could be bought now of each SKU; 0 for one that has never been here."""
        found = await self._balances(skus)
        return [level(sku, found.get(sku, [])) for sku in skus]

    async def movements(self, sku: str, *, before: int, limit: int) -> list[Movement]:
        """The ledger of a SKU, newest first, from the entry before the given one."""
        async with self._database.connection() as connection:
            rows = await (await connection.execute(_MOVEMENTS, [sku, before, limit])).fetchall()
        return [_movement(row) for row in rows]

    async def _book(self, entries: Sequence[Entry], once: Once[list[Balance]]) -> bytes:
        skus = {entry.sku for entry in entries}
        response = await self._database.run(lambda tx: _book(tx, entries, skus, once))
        self._on_change(skus)
        return response

    async def _balances(self, skus: Collection[str]) -> Mapping[str, list[Balance]]:
        async with self._database.connection() as connection:
            rows = await (await connection.execute(_BALANCES, [list(skus)])).fetchall()
        found: dict[str, list[Balance]] = {}
        for row in rows:
            found.setdefault(row["sku"], []).append(balance_of(row))
        return found


async def _book(tx: Connection, entries: Sequence[Entry], skus: Collection[str], once: Once[list[Balance]]) -> bytes:
    if (answered := await once.answered(tx)) is not None:
        return answered
    keys = list(dict.fromkeys((entry.sku, entry.warehouse_id) for entry in entries))
    open_balances(tx, keys)
    locked = await lock_balances(tx, skus)
    balances = {balance.key: balance for balance in locked.balances}
    for entry in entries:
        key = entry.sku, entry.warehouse_id
        balances[key] = booked(balances[key], entry.units)
    changed = [balances[key] for key in keys]
    write_balances(tx, changed)
    append_entries(tx, entries)
    outbox.append(tx, told(locked.found, balances.values()))
    return once.answer(tx, changed)


def _movement(row: dict[str, Any]) -> Movement:
    entry = Entry(row["sku"], row["warehouse_id"], Kind(row["kind"]), row["units"], row["reference"], row["note"])
    return Movement(row["entry_id"], entry, row["created_at"])
