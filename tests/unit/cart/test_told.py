"""What carts tell of: what users put in and take out, and that a cart was left."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bazaar.cart.v1 import events_pb2
from services.cart.model import Cart, ItemNotInCart, left_at, with_quantity, without
from services.cart.store import CartStore
from services.kit.database import Database
from services.kit.ids import uuid7
from tests.outbox import told
from tests.unit.cart.filling import FACTS, NOW, add, quietly
from tests.unit.cart.test_events import deliver, placed

DAY = timedelta(hours=24)


async def messages(database: Database, cart_id: str) -> list[tuple[int, Any]]:
    """Version and content of what is told of a cart."""
    parsed = [(event, events_pb2.CartEvent.FromString(event.payload)) for event in await told(database) if event.key == cart_id]
    return [(event.aggregate_version, getattr(message, message.WhichOneof("event") or "")) for event, message in parsed]


async def set_quantity(carts: CartStore, user_id: str, sku: str, quantity: int) -> None:
    await carts.change(user_id, "", lambda cart: with_quantity(cart, sku, quantity, FACTS), NOW, once=quietly())


async def remove(carts: CartStore, user_id: str, sku: str) -> None:
    await carts.change(user_id, "", lambda cart: without(cart, sku), NOW, once=quietly())


async def test_units_put_into_a_cart_are_told(carts: CartStore, database: Database):
    user_id = uuid7()
    cart_id = await add(carts, user_id, "tv", 2)
    await add(carts, user_id, "tv", 3)

    ids = {"cart_id": cart_id, "user_id": user_id, "sku": "tv", "product_id": "tv"}
    assert await messages(database, cart_id) == [
        (2, events_pb2.CartItemAdded(**ids, quantity=2, cart_quantity=2)),
        (3, events_pb2.CartItemAdded(**ids, quantity=3, cart_quantity=5)),
    ]


async def test_units_taken_out_of_a_cart_are_told(carts: CartStore, database: Database):
    user_id = uuid7()
    cart_id = await add(carts, user_id, "tv", 5)
    await set_quantity(carts, user_id, "tv", 2)
    await remove(carts, user_id, "tv")

    ids = {"cart_id": cart_id, "user_id": user_id, "sku": "tv", "product_id": "tv"}
    assert (await messages(database, cart_id))[1:] == [
        (3, events_pb2.CartItemRemoved(**ids, quantity=3, cart_quantity=2)),
        (4, events_pb2.CartItemRemoved(**ids, quantity=2, cart_quantity=0)),
    ]


async def test_the_envelope_names_cart_and_time(carts: CartStore, database: Database):
    cart_id = await add(carts, uuid7(), "tv")

    [event] = [event for event in await told(database) if event.key == cart_id]
    assert (event.topic, event.type, event.subject, event.occurred_at) == ("carts", "bazaar.cart.v1.CartItemAdded", cart_id, NOW)


async def test_what_changes_nothing_or_is_refused_is_not_told(carts: CartStore, database: Database):
    user_id = uuid7()
    cart_id = await add(carts, user_id, "tv", 2)
    await set_quantity(carts, user_id, "tv", 2)
    await remove(carts, user_id, "pen")
    with pytest.raises(ItemNotInCart):
        await set_quantity(carts, user_id, "pen", 1)

    assert [version for version, _ in await messages(database, cart_id)] == [2]


async def test_what_an_order_takes_out_is_not_told_and_counts_as_a_change(carts: CartStore, database: Database):
    user_id = uuid7()
    cart_id = await add(carts, user_id, "tv", 5)
    await deliver(carts, placed(cart_id, {"tv": 2}))
    await add(carts, user_id, "tv", 1)

    assert [version for version, _ in await messages(database, cart_id)] == [2, 4]


async def test_a_cart_that_was_left_is_told_once(carts: CartStore, database: Database):
    user_id = uuid7()
    cart_id = await add(carts, user_id, "tv", 2)
    await add(carts, user_id, "pen", 1)
    await carts.abandon(NOW + DAY, 500)
    await carts.abandon(NOW + DAY, 500)

    left = events_pb2.CartAbandoned(cart_id=cart_id, user_id=user_id, item_count=3)
    assert (await messages(database, cart_id))[2:] == [(4, left)]


async def test_a_cart_that_was_touched_within_the_day_is_not_left(carts: CartStore, database: Database):
    user_id = uuid7()
    cart_id = await add(carts, user_id, "tv")
    await add(carts, user_id, "tv", now=NOW + DAY / 2)
    await carts.abandon(NOW + DAY, 500)

    assert [version for version, _ in await messages(database, cart_id)] == [2, 3]


async def test_a_left_cart_that_is_touched_and_left_again_is_told_again(carts: CartStore, database: Database):
    user_id = uuid7()
    cart_id = await add(carts, user_id, "tv")
    await carts.abandon(NOW + DAY, 500)
    await add(carts, user_id, "tv", now=NOW + 2 * DAY)
    await carts.abandon(NOW + 3 * DAY, 500)

    assert [type(message).__name__ for _, message in await messages(database, cart_id)] == [
        *("CartItemAdded", "CartAbandoned", "CartItemAdded", "CartAbandoned")
    ]


async def test_an_emptied_cart_is_not_left(carts: CartStore, database: Database):
    user_id = uuid7()
    emptied, ordered = await add(carts, user_id, "tv", 2), await add(carts, uuid7(), "tv", 2)
    await remove(carts, user_id, "tv")
    await deliver(carts, placed(ordered, {"tv": 2}))
    await carts.abandon(NOW + 2 * DAY, 500)

    told_of = [message for cart_id in (emptied, ordered) for _, message in await messages(database, cart_id)]
    assert [type(message).__name__ for message in told_of] == ["CartItemAdded", "CartItemRemoved", "CartItemAdded"]


@pytest.mark.parametrize(("minute", "quarter"), [(0, 0), (1, 15), (15, 15), (16, 30)])
def test_a_cart_counts_as_left_at_the_next_full_quarter_of_an_hour(minute: int, quarter: int):
    now = datetime(2026, 1, 1, 9, minute, tzinfo=UTC)

    assert left_at(Cart("c", is_active=True, items=(None,)), now) == datetime(2026, 1, 2, 9, quarter, tzinfo=UTC)  # type: ignore[arg-type]


def test_an_empty_cart_is_never_left():
    assert left_at(Cart("c", is_active=True), NOW) is None
