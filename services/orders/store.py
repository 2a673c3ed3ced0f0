"""Orders in PostgreSQL. Times are the database's own, so that two processes never disagree on what is due."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from psycopg import AsyncCursor
from psycopg.rows import DictRow

from services.kit import outbox
from services.kit.database import Connection, Database
from services.kit.events.port import Event
from services.kit.ids import bucket_of_order, order_id_for, user_bucket
from services.orders.model import Order, OrderNotFound, Request, RequestReused, State, TimelineEntry
from services.orders.rows import json_of, order_from

CLAIM = timedelta(seconds=10)
"""How long one checkout has a hidden order to itself; longer than a checkout may take."""

HIDDEN_ORDER_DUE = timedelta(seconds=60)
REQUESTS_KEPT = timedelta(hours=24)
_DELETED_AT_ONCE = 5000

_READ = """
SELECT o.*, c.content, clock_timestamp() AS read_at
FROM orders o LEFT JOIN order_contents c USING (user_bucket, order_id)
WHERE o.user_bucket = %s AND o.order_id = %s
"""
_INSERT = """
INSERT INTO orders (user_bucket, order_id, user_id, state, version, created_at, updated_at, claimed_until, due_at, timeline)
SELECT %(bucket)s, %(order_id)s, %(user_id)s, 'CREATED', 1, now(), now(), now() + %(claim)s, now() + %(due)s,
       jsonb_build_array(jsonb_build_object('state', 'CREATED', 'at', now(), 'reason', ''))
"""
_OPEN = f"""
WITH request AS (
    INSERT INTO order_requests (user_bucket, principal, method, request_id, fingerprint, order_id)
    VALUES (%(bucket)s, %(principal)s, %(method)s, %(request_id)s, %(fingerprint)b, %(order_id)s)
    ON CONFLICT DO NOTHING RETURNING 1
)
{_INSERT} FROM request RETURNING *, NULL::jsonb AS content
"""
_FIND_REQUEST = """
SELECT r.fingerprint, o.*, c.content, o.claimed_until > now() AS is_claimed
FROM order_requests r JOIN orders o USING (user_bucket, order_id) LEFT JOIN order_contents c USING (user_bucket, order_id)
WHERE r.user_bucket = %(bucket)s AND r.principal = %(principal)s AND r.method = %(method)s AND r.request_id = %(request_id)s
FOR UPDATE OF r, o
"""
_CLAIM = """
UPDATE orders SET version = version + 1, updated_at = now(), claimed_until = now() + %s, due_at = now() + %s
WHERE user_bucket = %s AND order_id = %s RETURNING *, NULL::jsonb AS content
"""
_REDIRECT_REQUEST = """
UPDATE order_requests SET order_id = %(order_id)s, fingerprint = %(fingerprint)b
WHERE user_bucket = %(bucket)s AND principal = %(principal)s AND method = %(method)s AND request_id = %(request_id)s
"""
_WRITE = """
UPDATE orders SET state = %s, version = %s, updated_at = %s, payment_state = %s, confirmed_at = %s, due_at = %s, cancel_reason = %s,
                  timeline = %s, is_submitted = %s
WHERE user_bucket = %s AND order_id = %s
"""
_LIST = """
SELECT o.*, c.content FROM orders o JOIN order_contents c USING (user_bucket, order_id)
WHERE o.user_bucket = %s AND o.user_id = %s AND o.is_submitted AND (%s::uuid IS NULL OR o.order_id < %s)
ORDER BY o.order_id DESC LIMIT %s
"""
_DUE = "SELECT order_id FROM orders WHERE due_at <= now() ORDER BY due_at LIMIT %s"
_POSTPONE = "UPDATE orders SET due_at = now() + %s WHERE user_bucket = %s AND order_id = %s AND due_at IS NOT NULL"
_PLACED_AFTER = """
SELECT o.*, c.content FROM orders o JOIN order_contents c USING (user_bucket, order_id)
WHERE o.confirmed_at IS NOT NULL AND (%s::uuid IS NULL OR o.order_id > %s) ORDER BY o.order_id LIMIT %s
"""
_FORGET = """
WITH old AS (
    DELETE FROM order_requests WHERE ctid = ANY (ARRAY(SELECT ctid FROM order_requests WHERE created_at < now() - %s LIMIT %s))
    RETURNING user_bucket, order_id
), hidden AS (
    DELETE FROM orders o USING old WHERE (o.user_bucket, o.order_id) = (old.user_bucket, old.order_id)
    AND o.state = 'CANCELLED' AND NOT o.is_submitted
)
SELECT count(*) AS forgotten FROM old
"""


@dataclass(frozen=True, slots=True)
class Opened:
    """An order that a request stands for, and whether the caller is the one to go on with it."""

    order: Order
    is_holder: bool


Decide = Callable[[Order, datetime], Order]
"""The order as it should be; the same object when nothing is to change. The time is the database's."""

Announce = Callable[[Order], Sequence[Event]]


class OrderStore:
    """What orders keeps."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open(self, user_id: str, request: Request | None) -> Opened:
        """Opens a hidden order, or finds the one that the same request opened before.

        Raises:
            RequestReused: that one was opened for another content.
        """
        if request is None:
            async with self._database.connection() as connection:
                return Opened(await _insert(connection, user_id), is_holder=True)
        async with self._database.transaction() as tx:
            while True:
                row = await (await tx.execute(_OPEN, {**_new(user_id), **_key(user_id, request)})).fetchone()
                if row:
                    return Opened(order_from(row), is_holder=True)
                if found := await _found(tx, user_id, request):
                    return found

    async def change(self, order_id: str, decide: Decide, announce: Announce) -> Order:
        """Changes an order by a rule, and appends what is to be told of it, in one transaction.

        Raises:
            OrderNotFound: there is no such order.
        """
        bucket = _bucket(order_id)
        async with self._database.transaction() as tx:
            row = await (await tx.execute(_READ + "FOR UPDATE OF o", [bucket, order_id])).fetchone()
            if row is None:
                raise OrderNotFound(order_id)
            before = order_from(row)
            after = decide(before, row["read_at"])
            if after is not before:
                await _write(tx, bucket, before, after)
                await outbox.append(tx, announce(after))
            return after

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

    async def due(self, limit: int) -> list[str]:
        """Ids of orders whose time is up, longest first."""
        async with self._database.connection() as connection:
            return [row["order_id"] for row in await (await connection.execute(_DUE, [limit])).fetchall()]

    async def postpone(self, order_id: str, delay: timedelta) -> None:
        """Lets the reaper come back to an order later."""
        async with self._database.connection() as connection:
            await connection.execute(_POSTPONE, [delay, _bucket(order_id), order_id])

    async def placed_after(self, order_id: str | None, limit: int) -> list[Order]:
        """Orders that were ever confirmed, by id."""
        async with self._database.connection() as connection:
            rows = await connection.execute(_PLACED_AFTER, [order_id, order_id, limit])
            return [order_from(row) for row in await rows.fetchall()]

    async def forget_requests(self) -> None:
        """Deletes requests over a day old, and the hidden orders that came to nothing."""
        async with self._database.connection() as connection:
            while True:
                row = await (await connection.execute(_FORGET, [REQUESTS_KEPT, _DELETED_AT_ONCE])).fetchone()
                if row is None or row["forgotten"] < _DELETED_AT_ONCE:
                    return


async def _found(tx: Connection, user_id: str, request: Request) -> Opened | None:
    """The order of a request that was opened before; None when it is being forgotten just now."""
    row = await (await tx.execute(_FIND_REQUEST, _key(user_id, request))).fetchone()
    if row is None:
        return None
    order = order_from(row)
    if order.state is State.CANCELLED and not order.is_submitted:
        return await _start_again(tx, user_id, request)
    if row["fingerprint"] != request.fingerprint:
        raise RequestReused("This request id was used with another body.", request_id=request.request_id)
    if order.state is State.CREATED and not row["is_claimed"]:
        claimed = await tx.execute(_CLAIM, [CLAIM, HIDDEN_ORDER_DUE, row["user_bucket"], order.order_id])
        return Opened(order_from(await _only(claimed)), is_holder=True)
    return Opened(order, is_holder=False)


async def _start_again(tx: Connection, user_id: str, request: Request) -> Opened:
    """A failed attempt doesn't burn its request: it gets a new order."""
    order = await _insert(tx, user_id)
    await tx.execute(_REDIRECT_REQUEST, {**_key(user_id, request), "order_id": order.order_id})
    return Opened(order, is_holder=True)


async def _insert(tx: Connection, user_id: str) -> Order:
    return order_from(await _only(await tx.execute(_INSERT + "RETURNING *, NULL::jsonb AS content", _new(user_id))))


async def _write(tx: Connection, bucket: int, before: Order, after: Order) -> None:
    if after.content is not None and before.content is None:
        await tx.execute(
            "INSERT INTO order_contents (user_bucket, order_id, content) VALUES (%s, %s, %s)",
            [bucket, after.order_id, json_of(after.content)],
        )
    await tx.execute(
        _WRITE,
        [
            *(after.state, after.version, after.updated_at, after.payment_state, after.confirmed_at, after.due_at, after.cancel_reason),
            *(json_of([_entry(entry) for entry in after.timeline]), after.is_submitted, bucket, after.order_id),
        ],
    )


def _bucket(order_id: str) -> int:
    try:
        return bucket_of_order(order_id)
    except ValueError:
        raise OrderNotFound(order_id) from None


def _entry(entry: TimelineEntry) -> dict[str, object]:
    return {"state": entry.state, "at": entry.at, "reason": entry.reason}


def _new(user_id: str) -> dict[str, object]:
    return {
        "bucket": user_bucket(user_id),
        "order_id": order_id_for(user_id),
        "user_id": user_id,
        "claim": CLAIM,
        "due": HIDDEN_ORDER_DUE,
    }


def _key(user_id: str, request: Request) -> dict[str, object]:
    return {
        "bucket": user_bucket(user_id),
        "principal": request.principal,
        "method": request.method,
        "request_id": request.request_id,
        "fingerprint": request.fingerprint,
    }


async def _only(cursor: AsyncCursor[DictRow]) -> DictRow:
    row = await cursor.fetchone()
    assert row is not None
    return row
