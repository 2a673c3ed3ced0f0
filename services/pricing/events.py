"""What pricing publishes: topic `prices`, key SKU."""

from __future__ import annotations

from datetime import datetime

from bazaar.pricing.v1 import events_pb2 as pb
from services.kit.events.port import Event, Topic
from services.kit.outbox import event
from services.pricing import wire
from services.pricing.model import Price

PRICES = Topic("prices", payload=pb.PriceEvent.DESCRIPTOR)


def price_changed(price: Price, previous: Price | None, version: int, at: datetime) -> Event:
    """The event of a new price.

    Args:
        previous: None for the first price of a SKU in this currency.
        version: of this SKU's price in this currency.
    """
    changed = pb.PriceChanged(
        sku=price.sku,
        amount=wire.money(price.currency, price.minor_units),
        previous_amount=wire.money(previous.currency, previous.minor_units) if previous else None,
    )
    return event(
        topic=PRICES.name,
        key=price.sku,
        subject=f"{price.sku}/{price.currency}",
        aggregate_version=version,
        message=pb.PriceEvent(price_changed=changed),
        occurred_at=at,
    )
