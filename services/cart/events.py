"""What carts listen to: an order takes what was bought out of the cart it was placed from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from bazaar.orders.v1 import events_pb2
from services.cart.store import CartStore, Ordered
from services.kit.clock import Clock
from services.kit.events.port import PATIENT, Event, Subscription

GROUP = "cart"


def drop_what_was_ordered(carts: CartStore, clock: Clock) -> Subscription:
    """Listens to `orders`. An order placed from lines names no cart, and changes none."""

    async def handle(events: Sequence[Event]) -> None:
        ordered = [(event, order) for event in events if (order := _ordered(event))]
        if ordered:
            await carts.take_out(GROUP, ordered, clock())

    return Subscription("orders", GROUP, handle, types=frozenset({events_pb2.OrderPlaced.DESCRIPTOR.full_name}), patience=PATIENT)


def _ordered(event: Event) -> Ordered | None:
    placed = events_pb2.OrderEvent.FromString(event.payload).order_placed
    if not placed.cart_id:
        return None
    units = Counter[str]()
    for line in placed.lines:
        units[line.sku] += line.quantity
    return Ordered(placed.cart_id, dict(units))
