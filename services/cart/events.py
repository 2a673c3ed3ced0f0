"""What carts publish (topic `carts`, key cart id), and what they listen to: an order takes what was bought out of its cart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from bazaar.cart.v1 import events_pb2 as pb
from bazaar.orders.v1 import events_pb2 as orders_pb
from services.cart.model import Abandoned, Cart, Ordered
from services.kit.clock import Clock
from services.kit.events.port import PATIENT, Event, Subscription, Topic
from services.kit.outbox import event

if TYPE_CHECKING:
    from services.cart.store import CartStore

CARTS = Topic("carts", payload=pb.CartEvent.DESCRIPTOR)
GROUP = "cart"


def changes(user_id: str, before: Cart, after: Cart) -> Iterator[Event]:
    """The events of a change that a user made."""
    was, now = ({item.sku: item for item in cart.items} for cart in (before, after))
    for sku, item in (was | now).items():
        quantity = after.quantity_of(sku)
        more = quantity - before.quantity_of(sku)
        ids = {"cart_id": after.cart_id, "user_id": user_id, "sku": sku, "product_id": item.product_id}
        if more > 0:
            added = pb.CartItemAdded(**ids, quantity=more, cart_quantity=quantity)
            yield _event(after.cart_id, after.version, pb.CartEvent(cart_item_added=added), after.updated_at)
        elif more < 0:
            removed = pb.CartItemRemoved(**ids, quantity=-more, cart_quantity=quantity)
            yield _event(after.cart_id, after.version, pb.CartEvent(cart_item_removed=removed), after.updated_at)


def abandoned(cart: Abandoned, at: datetime) -> Event:
    """The event of a cart that was left."""
    left = pb.CartAbandoned(cart_id=cart.cart_id, user_id=cart.user_id, item_count=cart.item_count)
    return _event(cart.cart_id, cart.version, pb.CartEvent(cart_abandoned=left), at)


def drop_what_was_ordered(carts: CartStore, clock: Clock) -> Subscription:
    """Listens to `orders`. An order placed from lines names no cart, and changes none."""

    async def handle(events: Sequence[Event]) -> None:
        ordered = [(event, order) for event in events if (order := _ordered(event))]
        if ordered:
            await carts.take_out(GROUP, ordered, clock())

    return Subscription("orders", GROUP, handle, types=frozenset({orders_pb.OrderPlaced.DESCRIPTOR.full_name}), patience=PATIENT)


def _ordered(event: Event) -> Ordered | None:
    placed = orders_pb.OrderEvent.FromString(event.payload).order_placed
    if not placed.cart_id:
        return None
    units = Counter[str]()
    for line in placed.lines:
        units[line.sku] += line.quantity
    return Ordered(placed.cart_id, dict(units))


def _event(cart_id: str, version: int, message: pb.CartEvent, at: datetime | None) -> Event:
    return event(topic=CARTS.name, key=cart_id, subject=cart_id, aggregate_version=version, message=message, occurred_at=at)
