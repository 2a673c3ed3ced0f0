"""Carts in PostgreSQL. Every write of a cart holds its row's lock, so that two devices never undo each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import groupby
from typing import Any

from services.cart.events import abandoned, changes
from services.cart.model import Abandoned, Cart, CartNotFound, Item, Ordered, left_at, taken_out
from services.kit import inbox, outbox
from services.kit.batching import Coalescer
from services.kit.database import Connection, Database
from services.kit.events.port import Event
from services.kit.idempotency import Once
from services.kit.ids import uuid7

_THIS_OR_ACTIVE = "cart_id = coalesce(%(cart_id)s::uuid, (SELECT cart_id FROM active_carts WHERE user_id = %(user_id)s))"
_COLUMNS = """
    carts.cart_id, currency, created_at, updated_at, version,
    carts.cart_id = (SELECT cart_id FROM active_carts WHERE user_id = carts.user_id) AS is_active
"""
_ITEM_COLUMNS = "sku, product_id, title, quantity, price_seen"
_FIND = f"""
SELECT {_COLUMNS}, {_ITEM_COLUMNS} FROM carts LEFT JOIN cart_items USING (cart_id)
WHERE user_id = %(user_id)s AND carts.{_THIS_OR_ACTIVE} ORDER BY position
"""
_LIST = f"""
SELECT {_COLUMNS}, {_ITEM_COLUMNS} FROM
    (SELECT * FROM carts WHERE user_id = %s AND (%s::uuid IS NULL OR cart_id < %s) ORDER BY cart_id DESC LIMIT %s) AS carts
    LEFT JOIN cart_items USING (cart_id)
ORDER BY carts.cart_id DESC, position
"""
_COUNT = f"SELECT item_count FROM carts WHERE user_id = %(user_id)s AND {_THIS_OR_ACTIVE}"
_LINES = """
SELECT place, carts.cart_id, sku, quantity FROM unnest(%s::uuid[], %s::uuid[]) WITH ORDINALITY AS wanted (user_id, cart_id, place)
JOIN carts ON carts.user_id = wanted.user_id
    AND carts.cart_id = coalesce(wanted.cart_id, (SELECT cart_id FROM active_carts WHERE user_id = wanted.user_id))
LEFT JOIN cart_items ON cart_items.cart_id = carts.cart_id
ORDER BY place, position
"""
_LOCK = f"SELECT {_COLUMNS} FROM carts WHERE user_id = %(user_id)s AND {_THIS_OR_ACTIVE} FOR NO KEY UPDATE"
_LOCK_MANY = f"SELECT {_COLUMNS} FROM carts WHERE cart_id = ANY(%s::uuid[]) ORDER BY cart_id FOR NO KEY UPDATE"
_ITEMS = f"SELECT cart_id, {_ITEM_COLUMNS} FROM cart_items WHERE cart_id = ANY(%s::uuid[]) ORDER BY cart_id, position"
_INSERT = "INSERT INTO carts (cart_id, user_id, created_at, updated_at) VALUES (%s, %s, %s, %s)"
_ACTIVATE = """
INSERT INTO active_carts (user_id, cart_id) VALUES (%s, %s) ON CONFLICT (user_id) DO UPDATE SET cart_id = excluded.cart_id
"""
_ACTIVATE_FIRST = "INSERT INTO active_carts (user_id, cart_id) VALUES (%s, %s) ON CONFLICT DO NOTHING"
# Carts by ANY as well: planned while there were next to no items, which happens again and again, the joins alone would go through all of
# them for as long as the plan is kept.
_WRITE = """
WITH gone AS (
    DELETE FROM cart_items USING unnest(%(gone_carts)s::uuid[], %(gone_skus)s::text[]) AS gone (cart_id, sku)
    WHERE cart_items.cart_id = ANY(%(gone_carts)s::uuid[]) AND (cart_items.cart_id, cart_items.sku) = (gone.cart_id, gone.sku)
), put AS (
    INSERT INTO cart_items (cart_id, sku, product_id, title, quantity, price_seen)
    SELECT * FROM unnest(%(put_carts)s::uuid[], %(skus)s::text[], %(product_ids)s::text[], %(titles)s::text[], %(quantities)s::int[],
                         %(prices_seen)s::bigint[])
    ON CONFLICT (cart_id, sku) DO UPDATE SET title = excluded.title, quantity = excluded.quantity, price_seen = excluded.price_seen
)
UPDATE carts SET currency = changed.currency, item_count = changed.item_count, updated_at = %(now)s, version = changed.version,
    due_at = changed.due_at
FROM unnest(%(carts)s::uuid[], %(currencies)s::text[], %(item_counts)s::int[], %(versions)s::bigint[], %(due_ats)s::timestamptz[])
    AS changed (cart_id, currency, item_count, version, due_at)
WHERE carts.cart_id = ANY(%(carts)s::uuid[]) AND carts.cart_id = changed.cart_id
"""
_ABANDON = """
WITH due AS (SELECT cart_id FROM carts WHERE due_at <= %s ORDER BY due_at LIMIT %s FOR NO KEY UPDATE SKIP LOCKED)
UPDATE carts SET due_at = NULL, version = version + 1 FROM due WHERE carts.cart_id = due.cart_id
RETURNING carts.cart_id, user_id, item_count, version
"""

NO_CART = Cart("", is_active=True)
"""What a user has who hasn't put anything into a cart."""


class CartStore:
    """Keeps carts. Where a method takes `cart_id`, the empty one means the user's active cart."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._looks = Coalescer[tuple[str, str], Ordered | None]("cart lines", self._lines)

    async def find(self, user_id: str, cart_id: str) -> Cart:
        """A cart; an empty one without an id when no cart is active.

        Raises:
            CartNotFound: the user has no such cart.
        """
        async with self._database.connection() as connection:
            rows = await (await connection.execute(_FIND, _wanted(user_id, cart_id))).fetchall()
        if not rows:
            return _no_cart(cart_id)
        return _cart_of(rows[0], rows)

    async def list(self, user_id: str, *, before: str | None, limit: int) -> list[Cart]:
        """A user's carts, the newest first, with ids below `before`."""
        async with self._database.connection() as connection:
            rows = await (await connection.execute(_LIST, [user_id, before, before, limit])).fetchall()
        return [_cart_of(items[0], items) for items in _grouped(rows)]

    async def count(self, user_id: str, cart_id: str) -> int:
        """Units in a cart.

        Raises:
            CartNotFound: the user has no such cart.
        """
        async with self._database.connection() as connection:
            row = await (await connection.execute(_COUNT, _wanted(user_id, cart_id))).fetchone()
        return row["item_count"] if row else _no_cart(cart_id).item_count

    async def checkout_lines(self, user_id: str, cart_id: str) -> Ordered:
        """SKUs and quantities of a cart, read with those that others want just now; none when no cart is active.

        Raises:
            CartNotFound: the user has no such cart.
        """
        return await self._looks.submit((user_id, cart_id)) or Ordered(_no_cart(cart_id).cart_id, {})

    async def create(self, user_id: str, now: datetime, *, once: Once[Cart]) -> bytes:
        """Makes an empty cart the active one."""
        async with self._database.transaction() as tx:
            if (answered := await once.answered(tx)) is not None:
                return answered
            cart = Cart(uuid7(), is_active=True, created_at=now, updated_at=now, version=1)
            tx.defer(_INSERT, [cart.cart_id, user_id, now, now])
            tx.defer(_ACTIVATE, [user_id, cart.cart_id])
            return once.answer(tx, cart)

    async def change(self, user_id: str, cart_id: str, change: Callable[[Cart], Cart], now: datetime, *, once: Once[Cart]) -> bytes:
        """Changes a cart under its lock; the active one is made when there is none yet.

        Raises:
            CartNotFound: the user has no such cart; and whatever `change` raises.
        """
        async with self._database.transaction() as tx:
            if (answered := await once.answered(tx)) is not None:
                return answered
            before = await (self._locked(tx, user_id, cart_id) if cart_id else self._active(tx, user_id, now))
            after = change(before)
            if after != before:
                after = replace(after, updated_at=now, version=before.version + 1)
                _write(tx, [(before, after)], now)
                outbox.append(tx, list(changes(user_id, before, after)))
            return once.answer(tx, after)

    async def take_out(self, group: str, ordered: Sequence[tuple[Event, Ordered]], now: datetime) -> None:
        """Takes out of carts what was ordered from them, once for each event however often it comes; a cart that is gone is passed over."""
        async with self._database.transaction() as tx:
            unseen = {event.id for event in await inbox.unseen(tx, group, [event for event, _ in ordered])}
            units: dict[str, Counter[str]] = {}
            for event, order in ordered:
                if event.id in unseen:
                    unseen.discard(event.id)
                    units.setdefault(order.cart_id, Counter()).update(order.quantities)
            carts = await self._locked_many(tx, list(units))
            left = [(before, taken_out(before, units[before.cart_id])) for before in carts]
            if changed := [(before, replace(after, version=before.version + 1)) for before, after in left if before != after]:
                _write(tx, changed, now)

    async def abandon(self, now: datetime, limit: int) -> int:
        """Tells of carts that were left, those left the longest first; returns of how many."""
        async with self._database.transaction() as tx:
            rows = await (await tx.execute(_ABANDON, [now, limit])).fetchall()
            outbox.append(tx, [abandoned(Abandoned(**row), now) for row in rows])
        return len(rows)

    async def _locked_many(self, tx: Connection, cart_ids: Sequence[str]) -> list[Cart]:
        locked, held = await tx.execute_all((_LOCK_MANY, [cart_ids]), (_ITEMS, [cart_ids]))
        items = {group[0]["cart_id"]: group for group in _grouped(await held.fetchall())}
        return [_cart_of(row, items.get(row["cart_id"], ())) for row in await locked.fetchall()]

    async def _locked(self, tx: Connection, user_id: str, cart_id: str) -> Cart:
        locked, items = await tx.execute_all((_LOCK, _wanted(user_id, cart_id)), (_ITEMS, [[cart_id]]))
        if (row := await locked.fetchone()) is None:
            raise CartNotFound(cart_id)
        return _cart_of(row, await items.fetchall())

    async def _active(self, tx: Connection, user_id: str, now: datetime) -> Cart:
        """A user's active cart, locked; made if there is none."""
        wanted = _wanted(user_id, "")
        row = await (await tx.execute(_LOCK, wanted)).fetchone()
        if row is None:
            made = uuid7()
            # Who comes second waits here for the first one's cart, and then uses it.
            if (await tx.execute(_ACTIVATE_FIRST, [user_id, made])).rowcount:
                tx.defer(_INSERT, [made, user_id, now, now])
            row = await (await tx.execute(_LOCK, wanted)).fetchone()
            assert row is not None, "an active cart exists"
        # A statement of its own: one that waited for the lock would still see the items as they were before.
        return _cart_of(row, await (await tx.execute(_ITEMS, [[row["cart_id"]]])).fetchall())

    async def _lines(self, wanted: Sequence[tuple[str, str]]) -> Sequence[Ordered | None]:
        """What is in each of these users' carts; None without such a cart."""
        async with self._database.connection() as connection:
            values = [[user_id for user_id, _ in wanted], [cart_id or None for _, cart_id in wanted]]
            rows = (await connection.execute(_LINES, values)).tuples()
        found: dict[int, Ordered] = {}
        for place, cart_id, sku, quantity in rows:
            ordered = found.setdefault(place, Ordered(cart_id, {}))
            if sku:
                ordered.quantities[sku] = quantity
        return [found.get(place) for place in range(1, len(wanted) + 1)]


def _wanted(user_id: str, cart_id: str) -> dict[str, str | None]:
    return {"user_id": user_id, "cart_id": cart_id or None}


def _no_cart(cart_id: str) -> Cart:
    if cart_id:
        raise CartNotFound(cart_id)
    return NO_CART


def _grouped(rows: Iterable[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    return [list(group) for _, group in groupby(rows, key=lambda row: row["cart_id"])]


def _cart_of(row: Mapping[str, Any], items: Iterable[Mapping[str, Any]]) -> Cart:
    return Cart(
        cart_id=row["cart_id"],
        is_active=bool(row["is_active"]),
        currency=row["currency"],
        items=tuple(
            Item(item["sku"], item["product_id"], item["title"], item["quantity"], item["price_seen"]) for item in items if item["sku"]
        ),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        version=row["version"],
    )


def _write(tx: Connection, changed: Sequence[tuple[Cart, Cart]], now: datetime) -> None:
    """Brings the rows of locked carts from what they were to what they are now, in one statement."""
    put = [(after.cart_id, item) for before, after in changed for item in after.items if item not in before.items]
    gone = [(after.cart_id, sku) for before, after in changed for sku in set(before.skus) - set(after.skus)]
    tx.defer(
        _WRITE,
        {
            "now": now,
            "gone_carts": [cart_id for cart_id, _ in gone],
            "gone_skus": [sku for _, sku in gone],
            "put_carts": [cart_id for cart_id, _ in put],
            "skus": [item.sku for _, item in put],
            "product_ids": [item.product_id for _, item in put],
            "titles": [item.title for _, item in put],
            "quantities": [item.quantity for _, item in put],
            "prices_seen": [item.price_seen for _, item in put],
            "carts": [after.cart_id for _, after in changed],
            "currencies": [after.currency for _, after in changed],
            "item_counts": [after.item_count for _, after in changed],
            "versions": [after.version for _, after in changed],
            "due_ats": [left_at(after, now) for _, after in changed],
        },
    )
