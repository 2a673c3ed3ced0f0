"""Inventory's stores on a database of their own, and the invariants of stock."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

from services import inventory
from services.inventory.model import Balance, Commit, Line, Reservation, Reserve, total_by_sku
from services.inventory.reservations import ReservationStore
from services.inventory.store import StockStore
from services.kit.database import Database
from services.kit.idempotency import Once
from services.kit.migrations import KIT_MIGRATIONS, migrate

TTL = timedelta(minutes=15)

_BROKEN = """
SELECT sku, warehouse_id FROM balances
WHERE on_hand <> coalesce((SELECT sum(units) FROM ledger WHERE (ledger.sku, ledger.warehouse_id) = (balances.sku, balances.warehouse_id)), 0)
   OR reserved <> coalesce((SELECT sum(quantity) FROM holds WHERE (holds.sku, holds.warehouse_id) = (balances.sku, balances.warehouse_id)), 0)
   OR on_hand < reserved OR reserved < 0
"""  # noqa: E501


class Inventory:
    """What one worker process has of inventory."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.changed: list[str] = []
        """SKUs as they were told to be changed."""
        self.stock = StockStore(database, self.changed.extend)
        self.reservations = ReservationStore(database, self.changed.extend)

    async def receive(self, sku: str, units: int, warehouse_id: str = "main") -> None:
        await self.stock.receive([Line(sku, units)], warehouse_id, "delivery", once=unkeyed())

    async def reserve(self, sku: str, quantity: int = 1, order_id: str = "", ttl: timedelta = TTL) -> Reservation:
        return await self.reservations.submit(reserve(order_id, (sku, quantity), ttl=ttl))

    async def commit(self, order_id: str) -> Reservation:
        return await self.reservations.submit(Commit(order_id))

    async def balance(self, sku: str, warehouse_id: str = "main") -> tuple[int, int]:
        """(on_hand, reserved) as shown now."""
        return next((of.on_hand, of.reserved) for of in await self.stock.balances(sku) if of.warehouse_id == warehouse_id)

    async def expire(self, order_id: str) -> None:
        """Lets the order's time pass, as the clock would: in its row and its holds together."""
        async with self.database.transaction() as tx:
            await tx.execute("UPDATE reservations SET expires_at = now() - interval '1 second' WHERE order_id = %s", [order_id])
            await tx.execute("UPDATE holds SET expires_at = now() - interval '1 second' WHERE order_id = %s", [order_id])

    async def broken(self) -> list[tuple[str, str]]:
        """Balances that disagree with their ledger or their holds; empty unless something is very wrong."""
        return [(row["sku"], row["warehouse_id"]) for row in await self.rows(_BROKEN)]

    async def execute(self, statement: str) -> None:
        async with self.database.connection() as connection:
            await connection.script(statement)  # type: ignore[arg-type]

    async def rows(self, query: str, *parameters: object) -> list[dict]:
        async with self.database.connection() as connection:
            return await (await connection.execute(query, parameters)).fetchall()  # type: ignore[arg-type]


async def migrated(url: str) -> str:
    """The database, with inventory's tables."""
    folder = inventory.SERVICE.migrations
    assert isinstance(folder, Path)
    await migrate(url, [("kit", KIT_MIGRATIONS), ("inventory", folder)])
    return url


def order() -> str:
    return str(uuid4())


def reserve(order_id: str, *lines: tuple[str, int], ttl: timedelta = TTL) -> Reserve:
    """A command for an order, a new one when none is given."""
    return Reserve(order_id or order(), tuple(total_by_sku(Line(*line) for line in lines)), ttl)


def unkeyed() -> Once[list[Balance]]:
    """No request id; the answer is "on_hand/reserved" of each balance."""
    return Once(None, _text)


def _text(balances: Sequence[Balance]) -> bytes:
    return " ".join(f"{of.on_hand}/{of.reserved}" for of in balances).encode()
