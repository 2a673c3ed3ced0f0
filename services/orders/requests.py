"""Requests for orders in PostgreSQL: the recovery point of PlaceOrder. A repeat finds the order that the first attempt opened."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from enum import Enum, auto

from services.kit.batching import Coalescer
from services.kit.database import Connection, Database
from services.kit.ids import order_id_for, user_bucket
from services.kit.values import value
from services.orders.model import Order, Request, RequestReused, State
from services.orders.rows import order_from

CLAIM = timedelta(seconds=10)
"""How long one checkout has a hidden order to itself; longer than a checkout may take."""

HIDDEN_ORDER_DUE = timedelta(seconds=60)
REQUESTS_KEPT = timedelta(hours=24)
HIDDEN_ORDERS_KEPT = REQUESTS_KEPT + timedelta(hours=1)
"""Longer than any request that leads to one."""

_DELETED_AT_ONCE = 5000

_OPEN = """
WITH wanted AS (
    SELECT * FROM unnest(%s::smallint[], %s::uuid[], %s::uuid[], %s::text[], %s::text[], %s::text[], %s::bytea[])
        AS wanted (user_bucket, order_id, user_id, principal, method, request_id, fingerprint)
), requested AS (
    INSERT INTO order_requests (user_bucket, principal, method, request_id, fingerprint, order_id)
    SELECT user_bucket, principal, method, request_id, fingerprint, order_id FROM wanted WHERE request_id <> ''
    ORDER BY 1, 2, 3, 4 ON CONFLICT DO NOTHING RETURNING order_id
)
INSERT INTO orders (user_bucket, order_id, user_id, state, version, created_at, updated_at, claimed_until, due_at, timeline)
SELECT user_bucket, order_id, user_id, 'CREATED', 1, now(), now(), now() + %s, now() + %s,
       jsonb_build_array(jsonb_build_object('state', 'CREATED', 'at', now(), 'reason', ''))
FROM wanted WHERE request_id = '' OR order_id IN (SELECT order_id FROM requested)
ON CONFLICT DO NOTHING RETURNING *, NULL::jsonb AS content
"""
_FIND = """
SELECT r.fingerprint, o.*, c.content, o.claimed_until > now() AS is_claimed
FROM order_requests r JOIN orders o USING (user_bucket, order_id) LEFT JOIN order_contents c USING (user_bucket, order_id)
WHERE r.user_bucket = %s AND r.principal = %s AND r.method = %s AND r.request_id = %s
FOR UPDATE OF r, o
"""
_CLAIM = """
UPDATE orders SET version = version + 1, updated_at = now(), claimed_until = now() + %s, due_at = now() + %s
WHERE user_bucket = %s AND order_id = %s RETURNING *, NULL::jsonb AS content
"""
_REDIRECT = """
UPDATE order_requests SET order_id = %s, fingerprint = %b
WHERE user_bucket = %s AND principal = %s AND method = %s AND request_id = %s
"""
_FORGET_REQUESTS = """
DELETE FROM order_requests WHERE ctid = ANY (ARRAY(SELECT ctid FROM order_requests WHERE created_at < now() - %s LIMIT %s))
"""
_FORGET_HIDDEN = """
DELETE FROM orders WHERE (user_bucket, order_id) IN (
    SELECT user_bucket, order_id FROM orders WHERE NOT is_submitted AND state = 'CANCELLED' AND updated_at < now() - %s LIMIT %s)
"""


class Repeat(Enum):
    """What a repeat of a request does about the order that the request was opened for."""

    START_AGAIN = auto()
    """That one came to nothing: a failed attempt doesn't burn its request."""
    TAKE_OVER = auto()
    """Nobody is at work on it any more."""
    FOLLOW = auto()
    """It is somebody else's to go on with, or done."""


@value
class Opened:
    """An order that a request stands for, and whether the caller is the one to go on with it."""

    order: Order
    is_holder: bool


@value
class _Opening:
    order_id: str
    """Of the order, if it is a new one."""
    user_id: str
    request: Request

    @property
    def bucket(self) -> int:
        return user_bucket(self.user_id)


def repeated(order: Order, request: Request, *, fingerprint: bytes, is_claimed: bool) -> Repeat:
    """What is to be done about the order that the same request was opened for.

    Args:
        fingerprint: of the body that it was opened with.
        is_claimed: another attempt has it to itself.

    Raises:
        RequestReused: it was opened for another content.
    """
    if order.has_failed:
        return Repeat.START_AGAIN
    if fingerprint != request.fingerprint:
        raise RequestReused("This request id was used with another body.", request_id=request.request_id)
    return Repeat.TAKE_OVER if order.state is State.CREATED and not is_claimed else Repeat.FOLLOW


class RequestStore:
    """Opens orders, many a statement, and remembers for whom."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._batches = Coalescer[_Opening, Order | None]("open orders", self._open)

    async def open(self, user_id: str, request: Request, deadline: float | None = None) -> Opened:
        """Opens a hidden order, or finds the one that the same request opened before.

        Args:
            request: one without a request id can't be repeated; it always gets an order of its own.
            deadline: in monotonic seconds; past it nothing is begun.

        Raises:
            RequestReused: that one was opened for another content.
        """
        while True:
            opening = _Opening(order_id_for(user_id), user_id, request)
            if order := await self._batches.submit(opening, deadline):
                return Opened(order, is_holder=True)
            async with self._database.transaction() as tx:
                if found := await _found(tx, opening):
                    return found

    async def forget(self) -> None:
        """Deletes requests over a day old, and the hidden orders that came to nothing."""
        async with self._database.connection() as connection:
            while (await connection.execute(_FORGET_REQUESTS, [REQUESTS_KEPT, _DELETED_AT_ONCE])).rowcount == _DELETED_AT_ONCE:
                pass
            while (await connection.execute(_FORGET_HIDDEN, [HIDDEN_ORDERS_KEPT, _DELETED_AT_ONCE])).rowcount == _DELETED_AT_ONCE:
                pass

    async def _open(self, openings: Sequence[_Opening]) -> list[Order | None]:
        """The new orders; None for a request that has one already."""
        async with self._database.connection() as connection:
            opened = await _insert(connection, openings)
        return [opened.get(opening.order_id) for opening in openings]


async def _found(tx: Connection, opening: _Opening) -> Opened | None:
    """The order of a request that was opened before; None when it has been forgotten just now."""
    row = await (await tx.execute(_FIND, _key(opening))).fetchone()
    if row and row["is_submitted"] and row["content"] is None:
        # A row that had to be waited for comes as it is now, but what is joined to it as it was before.
        row = await (await tx.execute(_FIND, _key(opening))).fetchone()
    if row is None:
        return None
    order = order_from(row)
    if order.order_id == opening.order_id:
        # Opened by this very call, when the answer to its COMMIT was lost.
        return Opened(order, is_holder=True)
    match repeated(order, opening.request, fingerprint=row["fingerprint"], is_claimed=row["is_claimed"]):
        case Repeat.START_AGAIN:
            return await _start_again(tx, opening)
        case Repeat.TAKE_OVER:
            claimed = await (await tx.execute(_CLAIM, [CLAIM, HIDDEN_ORDER_DUE, opening.bucket, order.order_id])).fetchone()
            assert claimed is not None, "its row is locked"
            return Opened(order_from(claimed), is_holder=True)
        case Repeat.FOLLOW:
            return Opened(order, is_holder=False)


async def _start_again(tx: Connection, opening: _Opening) -> Opened:
    """The request gets a new order."""
    unkeyed = _Opening(opening.order_id, opening.user_id, Request("", "", "", b""))
    opened = await _insert(tx, [unkeyed])
    await tx.execute(_REDIRECT, [opening.order_id, opening.request.fingerprint, *_key(opening)])
    return Opened(opened[opening.order_id], is_holder=True)


async def _insert(connection: Connection, openings: Sequence[_Opening]) -> dict[str, Order]:
    rows = [(of.bucket, of.order_id, of.user_id, *_request_columns(of.request)) for of in openings]
    columns = [list(column) for column in zip(*rows, strict=True)]
    cursor = await connection.execute(_OPEN, [*columns, CLAIM, HIDDEN_ORDER_DUE])
    return {row["order_id"]: order_from(row) for row in await cursor.fetchall()}


def _request_columns(request: Request) -> tuple[str, str, str, bytes]:
    return request.principal, request.method, request.request_id, request.fingerprint


def _key(opening: _Opening) -> tuple[int, str, str, str]:
    return opening.bucket, opening.request.principal, opening.request.method, opening.request.request_id
