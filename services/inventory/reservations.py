"""Reservations in PostgreSQL, many commands a transaction.

Why no Redis lock: a lock there can be lost with a fail-over while its holder goes on. A balance's row lock ends with the transaction
that it protects, so two buyers can't both be told that they got the last unit.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from psycopg.errors import UniqueViolation

from services.inventory.events import told
from services.inventory.model import Allocation, Command, Outcome, Reservation, Reserve, State
from services.inventory.rows import append_entries, lock_balances, locked_balances, locking, recordset, replaced, write_balances
from services.inventory.stockroom import Changes, Hold, Stockroom
from services.kit import outbox
from services.kit.batching import Coalescer
from services.kit.database import Connection, Database
from services.kit.errors import DomainError

_MOST_AT_ONCE = 512
_SWEPT_AT_ONCE = 200

_LOCK = """
SELECT order_id, state, expires_at, fingerprint, allocations FROM reservations WHERE order_id = ANY(%s::uuid[])
ORDER BY order_id FOR NO KEY UPDATE
"""

_OPEN = """
INSERT INTO reservations (order_id, state, expires_at, fingerprint, allocations)
SELECT * FROM json_to_recordset(%s::json)
  AS new (order_id uuid, state text, expires_at timestamptz, fingerprint bytea, allocations jsonb)
ORDER BY order_id
"""

_ONE_AN_ORDER = "reservations_pkey"

_MOVE = """
UPDATE reservations SET state = new.state, expires_at = new.expires_at, allocations = new.allocations
FROM json_to_recordset(%s::json) AS new (order_id uuid, state text, expires_at timestamptz, allocations jsonb)
WHERE reservations.order_id = new.order_id
"""

_MAKE_HOLDS = """
INSERT INTO holds (sku, expires_at, warehouse_id, order_id, quantity)
SELECT * FROM json_to_recordset(%s::json)
  AS new (sku text, expires_at timestamptz, warehouse_id text, order_id uuid, quantity integer)
"""

# Looks each of them up by its whole key (OFFSET 0: by itself). Joined, they would be found by going through all holds whenever this was
# planned while there were none, and a SKU that many want has thousands.
_END_HOLDS = """
DELETE FROM holds WHERE ctid = ANY (ARRAY(
    SELECT held.place
    FROM json_to_recordset(%s::json) AS ended (sku text, expires_at timestamptz, warehouse_id text, order_id uuid)
    CROSS JOIN LATERAL (
        SELECT ctid AS place FROM holds
        WHERE holds.sku = ended.sku AND holds.expires_at = ended.expires_at
            AND holds.warehouse_id = ended.warehouse_id AND holds.order_id = ended.order_id OFFSET 0
    ) AS held
))
"""

_DUE = "SELECT DISTINCT sku FROM (SELECT sku FROM holds WHERE quantity > 0 AND expires_at <= now() ORDER BY expires_at LIMIT %s) AS due"


class ReservationStore:
    """Carries out reservation commands, coalesced: all that arrive while one transaction commits go with the next.

    Args:
        on_change: told the SKUs whose stock may have changed, after the commit.
    """

    def __init__(self, database: Database, on_change: Callable[[Collection[str]], None]) -> None:
        self._database = database
        self._on_change = on_change
        self._batches = Coalescer[Command, Outcome]("reservations", self.decide, max_batch=_MOST_AT_ONCE)

    async def submit(self, command: Command, deadline: float | None = None) -> Reservation:
        """Carries one command out with the next batch.

        Args:
            deadline: in monotonic seconds; past it nothing is begun.

        Raises:
            OutOfStock, ReservationNotFound, ReservationEnded, ReservationDiffers: by the rules of `stockroom`.
            Overloaded: too many commands wait.
        """
        outcome = await self._batches.submit(command, deadline)
        if isinstance(outcome, DomainError):
            raise outcome
        return outcome

    async def decide(self, commands: Sequence[Command]) -> list[Outcome]:
        """Decides a batch in one transaction. To run it again is harmless: it finds by order id what was done."""
        while True:
            try:
                outcomes, skus = await self._database.run(lambda tx: _decide(tx, commands))
            except UniqueViolation as error:
                if error.diag.constraint_name != _ONE_AN_ORDER:
                    raise
                # A rival has opened the reservation of an order that was new here. It is found now: every round meets fewer new orders.
                continue
            self._on_change(skus)
            return outcomes

    async def sweep(self) -> int:
        """Folds back one portion of what is due, whether or not anybody asks for these SKUs; returns how many SKUs were found."""
        async with self._database.connection() as connection:
            due = [row["sku"] for row in await (await connection.execute(_DUE, [_SWEPT_AT_ONCE])).fetchall()]
        if due:
            await self._database.run(lambda tx: _fold(tx, due))
            self._on_change(due)
        return len(due)


async def _fold(tx: Connection, skus: Collection[str]) -> None:
    locked = await lock_balances(tx, skus)
    outbox.append(tx, told(locked.found, locked.balances))


async def _decide(tx: Connection, commands: Sequence[Command]) -> tuple[list[Outcome], set[str]]:
    orders = sorted({command.order_id for command in commands})
    named = {line.sku for command in commands if isinstance(command, Reserve) for line in command.lines}
    reserved, *rest = await tx.execute_all((_LOCK, [orders]), *locking(named, orders))
    stored = [_reservation(row) for row in await reserved.fetchall()]
    locked = await locked_balances(*rest)
    skus = named | {part.sku for reservation in stored for part in reservation.allocations}
    room = Stockroom(locked.at, locked.balances, stored)
    outcomes = [room.decide(command) for command in commands]
    changes = room.changes()
    outbox.append(tx, told(locked.found, replaced(locked.balances, changes.balances)))
    _write(tx, changes)
    return outcomes, skus


def _write(tx: Connection, changes: Changes) -> None:
    """Writes all of it with the COMMIT."""
    write_balances(tx, changes.balances)
    if changes.moved:
        tx.defer(_MOVE, [recordset([_row(of) for of in changes.moved])])
    if changes.holds_ended:
        tx.defer(_END_HOLDS, [recordset([_hold(of) for of in changes.holds_ended])])
    if changes.holds_made:
        tx.defer(_MAKE_HOLDS, [recordset([_hold(of) for of in changes.holds_made])])
    append_entries(tx, changes.entries)
    # Last of all: what may wait for a rival here makes nobody wait whom the rival waits for.
    if changes.opened:
        tx.defer(_OPEN, [recordset([_row(of) for of in changes.opened])])


def _row(of: Reservation) -> dict[str, Any]:
    return {
        "order_id": of.order_id,
        "state": of.state,
        "expires_at": of.expires_at,
        "fingerprint": f"\\x{of.fingerprint.hex()}",
        "allocations": [(part.sku, part.warehouse_id, part.quantity) for part in of.allocations],
    }


def _hold(of: Hold) -> dict[str, Any]:
    return {
        "sku": of.allocation.sku,
        "expires_at": of.expires_at,
        "warehouse_id": of.allocation.warehouse_id,
        "order_id": of.order_id,
        "quantity": of.allocation.quantity,
    }


def _reservation(row: dict[str, Any]) -> Reservation:
    allocations = tuple(Allocation(*part) for part in row["allocations"])
    return Reservation(row["order_id"], State(row["state"]), allocations, row["expires_at"], row["fingerprint"])
