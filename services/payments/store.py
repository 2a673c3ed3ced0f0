"""Payments in PostgreSQL, many commands a transaction, each change with its event."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from psycopg.errors import UniqueViolation

from services.kit import outbox
from services.kit.batching import Coalescer
from services.kit.clock import Clock
from services.kit.database import Connection, Database
from services.kit.errors import DomainError
from services.kit.money import Money
from services.payments.decisions import Command, Create, Outcome, decide
from services.payments.events import told
from services.payments.model import Method, Payment, PaymentNotFound, State, pause_after

_COLUMNS = """order_id, payment_id, method, state, currency, minor_units, version, created_at, updated_at, gateway, link,
failure_reason, reported_at, due_at"""

_GET = f"SELECT {_COLUMNS} FROM payments WHERE order_id = %s"

_FIND = f"SELECT {_COLUMNS} FROM payments WHERE payment_id = %s"

_LOCK = f"SELECT {_COLUMNS} FROM payments WHERE order_id = ANY(%s::uuid[]) ORDER BY order_id FOR NO KEY UPDATE"

_OPEN = f"""
INSERT INTO payments ({_COLUMNS})
SELECT * FROM unnest(%s::uuid[], %s::uuid[], %s::text[], %s::text[], %s::text[], %s::bigint[], %s::bigint[],
                     %s::timestamptz[], %s::timestamptz[], %s::text[], %s::text[], %s::text[], %s::timestamptz[], %s::timestamptz[])
    AS new ({_COLUMNS})
ORDER BY order_id
"""

_MOVE = """
UPDATE payments SET state = new.state, version = new.version, updated_at = new.updated_at, link = new.link,
    failure_reason = new.failure_reason, reported_at = new.reported_at, due_at = new.due_at, attempts = 0
FROM unnest(%s::uuid[], %s::text[], %s::bigint[], %s::timestamptz[], %s::text[], %s::text[], %s::timestamptz[], %s::timestamptz[])
    AS new (order_id, state, version, updated_at, link, failure_reason, reported_at, due_at)
WHERE payments.order_id = new.order_id
"""

_DUE = f"""
SELECT {_COLUMNS}, attempts FROM payments WHERE due_at <= %s ORDER BY due_at LIMIT %s FOR NO KEY UPDATE SKIP LOCKED
"""

_PUT_OFF = """
UPDATE payments SET due_at = new.due_at, attempts = attempts + 1
FROM unnest(%s::uuid[], %s::timestamptz[]) AS new (order_id, due_at)
WHERE payments.order_id = new.order_id
"""

_ONE_AN_ORDER = "payments_pkey"


class PaymentStore:
    """Payments by order."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._batches = Coalescer[Command, Outcome]("payments", self.decide)

    async def submit(self, command: Command, deadline: float | None = None) -> Payment:
        """Carries one command out with the next batch.

        Args:
            deadline: in monotonic seconds; past it nothing is begun.

        Raises:
            IllegalMove, PaymentDiffers, PaymentNotFound: by the rules of the model.
            Overloaded: too many commands wait.
        """
        outcome = await self._batches.submit(command, deadline)
        if isinstance(outcome, DomainError):
            raise outcome
        return outcome

    async def get(self, order_id: str) -> Payment:
        """The payment of an order.

        Raises:
            PaymentNotFound: it has none.
        """
        async with self._database.connection() as connection:
            row = await (await connection.execute(_GET, [order_id])).fetchone()
        if row is None:
            raise PaymentNotFound(order_id=order_id)
        return _payment(row)

    async def find(self, payment_id: str) -> Payment:
        """A payment by its own id, as its gateway names it.

        Raises:
            PaymentNotFound: there is none.
        """
        async with self._database.connection() as connection:
            row = await (await connection.execute(_FIND, [payment_id])).fetchone()
        if row is None:
            raise PaymentNotFound(payment_id=payment_id)
        return _payment(row)

    async def claim(self, limit: int) -> list[Payment]:
        """Payments whose next step is due, the longest first; each is put off before anybody begins it, so that a crash only repeats it."""
        return await self._database.run(lambda tx: _claim(tx, limit, self._clock()))

    async def decide(self, commands: Sequence[Command]) -> list[Outcome]:
        """Decides a batch in one transaction. To run it again is harmless: it finds by order id what was done."""
        # Nearly always an order has no payment when one is to be opened: then nothing need be read first.
        are_new = all(isinstance(command, Create) for command in commands)
        while True:
            try:
                return await self._database.run(lambda tx, are_new=are_new: _decide(tx, commands, self._clock(), are_new=are_new))
            except UniqueViolation as error:
                if error.diag.constraint_name != _ONE_AN_ORDER:
                    raise
                # There was one, or a rival has opened it. It is found now: every round meets fewer new orders.
                are_new = False


async def _decide(tx: Connection, commands: Sequence[Command], at: datetime, *, are_new: bool) -> list[Outcome]:
    """Decides them.

    Args:
        are_new: taken for granted that no order has a payment yet; where one has, UniqueViolation is raised at the COMMIT.
    """
    orders = sorted({command.order_id for command in commands})
    stored = {} if are_new else await _locked(tx, orders)
    payments, moves, outcomes = dict(stored), list[Payment](), list[Outcome]()
    for command in commands:
        before = payments.get(command.order_id)
        outcome = decide(command, before, at)
        outcomes.append(outcome)
        if isinstance(outcome, Payment):
            payments[command.order_id] = outcome
            # A new link or time is no news to anybody.
            if before is None or outcome.version > before.version:
                moves.append(outcome)
    _write(tx, stored, payments, moves)
    return outcomes


async def _locked(tx: Connection, order_ids: Sequence[str]) -> dict[str, Payment]:
    return {row["order_id"]: _payment(row) for row in await (await tx.execute(_LOCK, [order_ids])).fetchall()}


def _write(tx: Connection, stored: dict[str, Payment], payments: dict[str, Payment], moves: Sequence[Payment]) -> None:
    changed = sorted(order_id for order_id, payment in payments.items() if payment != stored.get(order_id))
    opened = [_row(payments[order_id]) for order_id in changed if order_id not in stored]
    moved = [_changes(payments[order_id]) for order_id in changed if order_id in stored]
    if opened:
        tx.defer(_OPEN, _columns(opened))
    if moved:
        tx.defer(_MOVE, _columns(moved))
    outbox.append(tx, [told(payment) for payment in moves])


async def _claim(tx: Connection, limit: int, at: datetime) -> list[Payment]:
    rows = await (await tx.execute(_DUE, [at, limit])).fetchall()
    if rows:
        put_off = [(row["order_id"], at + pause_after(row["attempts"] + 1, random.random())) for row in rows]
        tx.defer(_PUT_OFF, _columns(put_off))
    return [_payment(row) for row in rows]


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _row(of: Payment) -> tuple[Any, ...]:
    amount = of.amount or Money("", 0)
    return (
        *(of.order_id, of.payment_id, of.method or "", of.state, amount.currency, amount.minor_units, of.version, of.created_at),
        *(of.updated_at, of.gateway, of.link, of.failure_reason, of.reported_at, of.due_at),
    )


def _changes(of: Payment) -> tuple[Any, ...]:
    return of.order_id, of.state, of.version, of.updated_at, of.link, of.failure_reason, of.reported_at, of.due_at


def _payment(row: dict[str, Any]) -> Payment:
    return Payment(
        payment_id=row["payment_id"],
        order_id=row["order_id"],
        state=State(row["state"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        version=row["version"],
        method=Method(row["method"]) if row["method"] else None,
        amount=Money(row["currency"], row["minor_units"]) if row["currency"] else None,
        gateway=row["gateway"],
        link=row["link"],
        failure_reason=row["failure_reason"],
        reported_at=row["reported_at"],
        due_at=row["due_at"],
    )
