"""Orders in PostgreSQL, many changes a transaction. Times are the database's own, so that two processes never disagree on what is due."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from psycopg.errors import DivisionByZero

from services.kit import outbox
from services.kit.batching import Coalescer
from services.kit.database import Connection, Database
from services.kit.errors import DomainError
from services.kit.events.port import Event
from services.kit.ids import bucket_of_order, user_bucket
from services.kit.values import value
from services.orders.content import Placed
from services.orders.model import Order, OrderNotFound
from services.orders.recent import Left, Recent
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
# Locks orders that are as somebody remembers them, and fails when one is not: by a division, since nobody reads the answer before the
# COMMIT. Compared is what can change, all that a rule may change without a new version included.
_EXPECT = """
SELECT 1 / (count(*) = %s)::int FROM (
    SELECT FROM unnest(%s::smallint[], %s::uuid[], %s::bigint[], %s::bigint[], %s::timestamptz[])
        AS remembered (user_bucket, order_id, version, payment_version, due_at)
    JOIN orders o USING (user_bucket, order_id)
    WHERE o.version = remembered.version AND o.payment_version = remembered.payment_version
        AND o.due_at IS NOT DISTINCT FROM remembered.due_at
    ORDER BY user_bucket, order_id FOR NO KEY UPDATE OF o
) AS unchanged
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

Decide = Callable[[Order, datetime], Order]
"""The order as it should be; the same object when nothing is to change. The time is the database's.

May be called again with the order as it was, or as it made it.
"""

Announce = Callable[[Order], Sequence[Event]]


@value
class _Change:
    bucket: int
    order_id: str
    decide: Decide
    context: contextvars.Context
    """The caller's: events belong to its trace, not to the batch's."""


@value
class _Decided:
    """What became of a batch: an outcome for each change, and each order as it was left."""

    outcomes: list[Order | DomainError]
    left: Mapping[str, Left]


class OrderStore:
    """What orders keeps.

    Args:
        announce: the events of the state that an order has just come into; appended in the transaction of the change.
    """

    def __init__(self, database: Database, announce: Announce) -> None:
        self._database = database
        self._announce = announce
        self._recent = Recent()
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

    def remember(self, opened: Order) -> None:
        """Takes note of an order that this process has just opened: it is changed without being read."""
        self._recent.note(Left(opened, opened.updated_at))

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
        remembered = self._recent.take({change.order_id for change in changes})
        try:
            decided = await self._as_remembered(changes, remembered) if remembered else await self._as_stored(changes)
        except DivisionByZero:
            self._recent.doubt()
            decided = await self._as_stored(changes)
        for left in decided.left.values():
            self._recent.note(left)
        return decided.outcomes

    async def _as_remembered(self, changes: Sequence[_Change], remembered: Mapping[str, Left]) -> _Decided:
        """In one round trip.

        Raises:
            DivisionByZero: an order isn't as it was left; nothing has happened.
        """

        async def decide(tx: Connection) -> _Decided:
            _expect(tx, [left.order for left in remembered.values()])
            return self._decide(tx, changes, remembered)

        return await self._database.run(decide)

    async def _as_stored(self, changes: Sequence[_Change]) -> _Decided:
        keys = sorted({(change.bucket, change.order_id) for change in changes})

        async def decide(tx: Connection) -> _Decided:
            return self._decide(tx, changes, await _lock(tx, keys))

        return await self._database.run(decide)

    def _decide(self, tx: Connection, changes: Sequence[_Change], stored: Mapping[str, Left]) -> _Decided:
        left, events, outcomes = dict(stored), list[Event](), list[Order | DomainError]()
        for change in changes:
            before = left.get(change.order_id)
            outcome = _decided(change, before)
            outcomes.append(outcome)
            if before and isinstance(outcome, Order) and outcome is not before.order:
                left[change.order_id] = before.followed_by(outcome)
                # Its payment's state and its own deadline are not for orders to tell of.
                if outcome.state is not before.order.state:
                    events += change.context.run(self._announce, outcome)
        if changed := [(before.order, left[order_id].order) for order_id, before in stored.items() if left[order_id] is not before]:
            _write(tx, changed)
            outbox.append(tx, events)
        return _Decided(outcomes, left)


async def _lock(tx: Connection, keys: Sequence[tuple[int, str]]) -> dict[str, Left]:
    """The orders that there are, locked in the order of their keys."""
    rows = await (await tx.execute(_LOCK, _columns(keys))).fetchall()
    if any(row["is_submitted"] and row["content"] is None for row in rows):
        # A row that had to be waited for comes as it is now, but what is joined to it as it was before.
        rows = await (await tx.execute(_LOCK, _columns(keys))).fetchall()
    return {row["order_id"]: Left(order_from(row), row["read_at"]) for row in rows}


def _expect(tx: Connection, orders: Sequence[Order]) -> None:
    """Fails the transaction, with its COMMIT at the latest, when one of them isn't stored like this; locks them otherwise."""
    rows = [(_bucket(of.order_id), of.order_id, of.version, of.payment_version, of.due_at) for of in orders]
    tx.defer(_EXPECT, [len(rows), *_columns(rows)])


def _decided(change: _Change, stored: Left | None) -> Order | DomainError:
    if stored is None:
        return OrderNotFound(change.order_id)
    try:
        return change.decide(stored.order, stored.now())
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
