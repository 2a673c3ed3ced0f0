"""Orders in PostgreSQL, many changes a transaction. Times are the database's own, so that two processes never disagree on what is due."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from services.kit import outbox
from services.kit.batching import Coalescer
from services.kit.database import Connection, Database
from services.kit.errors import DomainError
from services.kit.events.port import Event
from services.kit.ids import bucket_of_order, user_bucket
from services.orders.content import Placed
from services.orders.model import Order, OrderNotFound
from services.orders.rows import json_of, order_from, placed_from, timeline_of

_READ = """
SELECT o.*, c.content FROM orders o LEFT JOIN order_contents c USING (user_bucket, order_id)
WHERE o.user_bucket = %s AND o.order_id = %s
"""
_LOCK = """
SELECT o.*, c.content, clock_timestamp() AS read_at
FROM unnest(%s::smallint[], %s::uuid[]) AS wanted (user_bucket, order_id)
JOIN orders o USING (user_bucket, order_id) LEFT JOIN order_contents c USING (user_bucket, order_id)
ORDER BY o.user_bucket, o.order_id FOR NO KEY UPDATE OF o
"""
_WRITE = """
UPDATE orders SET state = new.state, version = new.version, updated_at = new.updated_at, payment_state = new.payment_state,
    payment_version = new.payment_version, confirmed_at = new.confirmed_at, due_at = new.due_at, cancel_reason = new.cancel_reason,
    timeline = new.timeline, is_submitted = new.is_submitted
FROM unnest(%s::smallint[], %s::uuid[], %s::text[], %s::bigint[], %s::timestamptz[], %s::text[], %s::bigint[], %s::timestamptz[],
            %s::timestamptz[], %s::text[], %s::jsonb[], %s::boolean[])
    AS new (user_bucket, order_id, state, version, updated_at, payment_state, payment_version, confirmed_at, due_at, cancel_reason,
            timeline, is_submitted)
WHERE (orders.user_bucket, orders.order_id) = (new.user_bucket, new.order_id)
"""
_KEEP_CONTENTS = """
INSERT INTO order_contents (user_bucket, order_id, content) SELECT * FROM unnest(%s::smallint[], %s::uuid[], %s::jsonb[])
"""
_LIST = """
SELECT o.*, c.content FROM orders o JOIN order_contents c USING (user_bucket, order_id)
WHERE o.user_bucket = %s AND o.user_id = %s AND o.is_submitted AND (%s::uuid IS NULL OR o.order_id < %s)
ORDER BY o.order_id DESC LIMIT %s
"""
_DUE = """
SELECT o.*, c.content FROM orders o LEFT JOIN order_contents c USING (user_bucket, order_id)
WHERE due_at <= now() ORDER BY due_at LIMIT %s
"""
_POSTPONE = "UPDATE orders SET due_at = now() + %s WHERE user_bucket = %s AND order_id = %s AND due_at <= now()"
_PLACED_AFTER = """
SELECT order_id, confirmed_at, state = 'CANCELLED' AS is_cancelled, content->>'currency' AS currency, content->'lines' AS lines
FROM orders o JOIN order_contents c USING (user_bucket, order_id)
WHERE o.confirmed_at IS NOT NULL AND (%s::uuid IS NULL OR o.order_id > %s) ORDER BY o.order_id LIMIT %s
"""

_NEVER = datetime.min.replace(tzinfo=UTC)

Decide = Callable[[Order, datetime], Order]
"""The order as it should be; the same object when nothing is to change. The time is the database's.

May be called again with the order as it was, or as it made it.
"""

Announce = Callable[[Order], Sequence[Event]]


@dataclass(frozen=True, slots=True)
class _Change:
    bucket: int
    order_id: str
    decide: Decide
    context: contextvars.Context
    """The caller's: events belong to its trace, not to the batch's."""


class OrderStore:
    """What orders keeps.

    Args:
        announce: the events of the state that an order has just come into; appended in the transaction of the change.
    """

    def __init__(self, database: Database, announce: Announce) -> None:
        self._database = database
        self._announce = announce
        self._batches = Coalescer[_Change, Order | DomainError]("orders", self._carry_out)

    async def change(self, order_id: str, decide: Decide, deadline: float | None = None) -> Order:
        """Changes an order by a rule, with the next batch.

        Args:
            deadline: in monotonic seconds; past it nothing is begun.

        Raises:
            OrderNotFound: there is no such order.
            DomainError: what the rule raised.
        """
        change = _Change(_bucket(order_id), order_id.lower(), decide, contextvars.copy_context())
        outcome = await self._batches.submit(change, deadline)
        if isinstance(outcome, DomainError):
            raise outcome
        return outcome

    async def read(self, order_id: str) -> Order:
        """An order as it stands.

        Raises:
            OrderNotFound: there is no such order.
        """
        async with self._database.connection() as connection:
            row = await (await connection.execute(_READ, [_bucket(order_id), order_id])).fetchone()
        if row is None:
            raise OrderNotFound(order_id)
        return order_from(row)

    async def of_user(self, user_id: str, *, before: str | None, limit: int) -> list[Order]:
        """A user's orders, newest first; those older than `before` where it is given."""
        async with self._database.connection() as connection:
            rows = await connection.execute(_LIST, [user_bucket(user_id), user_id, before, before, limit])
            return [order_from(row) for row in await rows.fetchall()]

    async def due(self, limit: int) -> list[Order]:
        """Orders whose time is up, longest first."""
        async with self._database.connection() as connection:
            return [order_from(row) for row in await (await connection.execute(_DUE, [limit])).fetchall()]

    async def postpone(self, order_id: str, delay: timedelta) -> None:
        """Lets the reaper come back to an order later, unless its time was moved meanwhile."""
        async with self._database.connection() as connection:
            await connection.execute(_POSTPONE, [delay, _bucket(order_id), order_id])

    async def placed_after(self, order_id: str | None, limit: int) -> list[Placed]:
        """Orders that were ever confirmed, by id."""
        async with self._database.connection() as connection:
            rows = await connection.execute(_PLACED_AFTER, [order_id, order_id, limit])
            return [placed_from(row) for row in await rows.fetchall()]

    async def _carry_out(self, changes: Sequence[_Change]) -> list[Order | DomainError]:
        return await self._database.run(lambda tx: self._decide(tx, changes))

    async def _decide(self, tx: Connection, changes: Sequence[_Change]) -> list[Order | DomainError]:
        at, stored = await _lock(tx, sorted({(change.bucket, change.order_id) for change in changes}))
        orders, events, outcomes = dict(stored), list[Event](), list[Order | DomainError]()
        for change in changes:
            outcome = _decided(change, orders.get(change.order_id), at)
            outcomes.append(outcome)
            if isinstance(outcome, Order) and outcome is not (before := orders[change.order_id]):
                orders[change.order_id] = outcome
                # Its payment's state and its own deadline are not for orders to tell of.
                if outcome.state is not before.state:
                    events += change.context.run(self._announce, outcome)
        if changed := [(stored[of.order_id], of) for of in orders.values() if of is not stored[of.order_id]]:
            _write(tx, changed)
            outbox.append(tx, events)
        return outcomes


async def _lock(tx: Connection, keys: Sequence[tuple[int, str]]) -> tuple[datetime, dict[str, Order]]:
    """The time, and the orders that there are, locked in the order of their keys."""
    rows = await (await tx.execute(_LOCK, _columns(keys))).fetchall()
    if any(row["is_submitted"] and row["content"] is None for row in rows):
        # A row that had to be waited for comes as it is now, but what is joined to it as it was before.
        rows = await (await tx.execute(_LOCK, _columns(keys))).fetchall()
    return rows[0]["read_at"] if rows else _NEVER, {row["order_id"]: order_from(row) for row in rows}


def _decided(change: _Change, order: Order | None, at: datetime) -> Order | DomainError:
    if order is None:
        return OrderNotFound(change.order_id)
    try:
        return change.decide(order, at)
    except DomainError as refused:
        return refused


def _write(tx: Connection, changed: Sequence[tuple[Order, Order]]) -> None:
    new = [after for before, after in changed if after.content is not None and before.content is None]
    if new:
        tx.defer(_KEEP_CONTENTS, _columns([(_bucket(of.order_id), of.order_id, json_of(of.content)) for of in new]))
    tx.defer(_WRITE, _columns([_row(after) for _, after in changed]))


def _row(of: Order) -> tuple[Any, ...]:
    return (
        *(_bucket(of.order_id), of.order_id, of.state, of.version, of.updated_at, of.payment_state),
        *(of.payment_version, of.confirmed_at, of.due_at, of.cancel_reason, timeline_of(of), of.is_submitted),
    )


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _bucket(order_id: str) -> int:
    try:
        return bucket_of_order(order_id)
    except ValueError:
        raise OrderNotFound(order_id) from None
