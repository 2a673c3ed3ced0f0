"""What orders listens to: payments, whose word confirms or ends an order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from bazaar.payments.v1 import events_pb2
from services.kit.events.port import PATIENT, Event, Subscription
from services.orders.model import Order, OrderNotFound
from services.orders.paying import payment_told
from services.orders.settlement import Settlement
from services.orders.store import OrderStore

GROUP = "orders"

_STATES = {
    "payment_authorized": "AUTHORIZED",
    "payment_captured": "CAPTURED",
    "payment_failed": "FAILED",
    "payment_voided": "VOIDED",
    "payment_refunding": "REFUNDING",
    "payment_refunded": "REFUNDED",
}
"""PaymentInitiated is missing: whoever initiates a payment knows."""

_MEMBERS = events_pb2.PaymentEvent.DESCRIPTOR.fields_by_name
_TYPES = frozenset(of.full_name for member in _STATES if (of := _MEMBERS[member].message_type))


def settle_what_is_paid(store: OrderStore, settlement: Settlement) -> Subscription:
    """Listens to `payments`. Everything it does may be done twice, and a payment's version decides what is newer: no inbox is needed."""

    async def handle(events: Sequence[Event]) -> None:
        by_order: dict[str, list[Event]] = {}
        for event in events:
            by_order.setdefault(event.key, []).append(event)
        await asyncio.gather(*(_of_one_order(told) for told in by_order.values()))

    async def _of_one_order(events: Sequence[Event]) -> None:
        for event in events:
            message = events_pb2.PaymentEvent.FromString(event.payload)
            await _follow(event, message, _STATES[message.WhichOneof("event") or ""])

    async def _follow(event: Event, message: events_pb2.PaymentEvent, state: str) -> None:
        if state == "CAPTURED" and await settlement.captured(event.key, event.aggregate_version):
            return

        def note(order: Order, now: object) -> Order:
            return payment_told(order, state, event.aggregate_version, at=event.occurred_at)

        try:
            await store.change(event.key, note)
            if state == "FAILED":
                await settlement.fail_payment(event.key, message.payment_failed.reason)
            elif state == "VOIDED":
                await settlement.fail_payment(event.key, state)
        except OrderNotFound:
            # Money without an order goes back below; of anything else nobody needs to hear.
            pass

    return Subscription("payments", GROUP, handle, types=_TYPES, patience=PATIENT)
