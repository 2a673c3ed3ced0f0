"""What rankings listen to: the lines of confirmed and cancelled orders, by root category."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bazaar.orders.v1 import events_pb2, orders_pb2
from services.kit.events.port import PATIENT, Event, Subscription
from services.ranking.model import SECONDS_IN_MINUTE, Line
from services.ranking.projection import Projection

TOPIC = "order-lines"
GROUP = "ranking"


def subscription(projection: Projection) -> Subscription:
    """Counts the lines of each batch. A repeat of a line is passed over by the truth itself, so no inbox is needed."""

    async def count(events: Sequence[Event]) -> None:
        await projection.count([line for event in events for line in lines_of(event)])

    return Subscription(TOPIC, GROUP, count, batch_size=2000, patience=PATIENT)


def lines_of(event: Event) -> Iterable[Line]:
    """The lines that an event brings."""
    message = events_pb2.OrderLineEvent.FromString(event.payload)
    match message.WhichOneof("event"):
        case "order_lines_placed":
            return map(line_from, message.order_lines_placed.lines)
        case "order_lines_reversed":
            return map(line_from, message.order_lines_reversed.lines)
        case _:
            return ()


def line_from(line: orders_pb2.CountedLine) -> Line:
    """A counted line as the rules know it."""
    return Line(
        order_id=line.order_id,
        line_number=line.line_number,
        sign=line.sign,
        category_id=line.category_id,
        product_id=line.product_id,
        quantity=line.quantity,
        currency=line.net_amount.currency_code,
        net_amount=line.net_amount.minor_units,
        minute=line.placed_time.seconds // SECONDS_IN_MINUTE,
    )
