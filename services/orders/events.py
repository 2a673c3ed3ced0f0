"""What orders publishes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bazaar.orders.v1 import events_pb2
from bazaar.payments.v1 import payments_pb2
from services.kit import outbox
from services.kit.events.port import Event, Topic
from services.orders.content import Line, by_root_category
from services.orders.model import Order, State
from services.orders.wire import counted_lines, money, placed_of, timestamp

ORDERS = Topic("orders", payload=events_pb2.OrderEvent.DESCRIPTOR)
"""Key order_id: every change of an order, in order."""

ORDER_LINES = Topic("order-lines", payload=events_pb2.OrderLineEvent.DESCRIPTOR)
"""Key root category: what rankings read."""


def announcements(order: Order) -> list[Event]:
    """The events of the state that an order has just come into. Of an order that nobody saw, nobody is told."""
    if not order.is_submitted:
        return []
    return [_event(order, message) for message in _changes(order)] + list(_lines(order))


def _changes(order: Order) -> Iterator[events_pb2.OrderEvent]:
    content = order.content
    assert content is not None
    match order.state:
        case State.PAYMENT_PENDING:
            created = events_pb2.OrderCreated(
                order_id=order.order_id,
                user_id=order.user_id,
                total=money(content.currency, content.total),
                payment_method=payments_pb2.Payment.Method.Value(content.payment_method),
            )
            yield events_pb2.OrderEvent(order_created=created)
        case State.CONFIRMED:
            placed = events_pb2.OrderPlaced(
                order_id=order.order_id,
                user_id=order.user_id,
                cart_id=content.cart_id,
                lines=counted_lines(placed_of(order), +1, content.lines),
                total=money(content.currency, content.total),
                placed_time=timestamp(order.confirmed_at),
            )
            yield events_pb2.OrderEvent(order_placed=placed)
        case State.PAYMENT_FAILED:
            failed = events_pb2.OrderPaymentFailed(order_id=order.order_id, user_id=order.user_id, reason=order.timeline[-1].reason)
            yield events_pb2.OrderEvent(order_payment_failed=failed)
        case State.CANCELLING:
            cancelling = events_pb2.OrderCancelling(order_id=order.order_id, user_id=order.user_id, reason=order.cancel_reason)
            yield events_pb2.OrderEvent(order_cancelling=cancelling)
        case State.CANCELLED:
            cancelled = events_pb2.OrderCancelled(
                order_id=order.order_id, user_id=order.user_id, reason=order.cancel_reason, was_placed=order.was_placed
            )
            yield events_pb2.OrderEvent(order_cancelled=cancelled)
        case _:
            raise AssertionError(f"no event is declared for {order.state}")


def _lines(order: Order) -> Iterator[Event]:
    if order.content is None or order.state not in (State.CONFIRMED, State.CANCELLED) or not order.was_placed:
        return
    for root, lines in by_root_category(order.content.lines).items():
        yield outbox.event(
            topic=ORDER_LINES.name,
            key=root,
            subject=order.order_id,
            aggregate_version=order.version,
            message=_line_event(order, lines),
            occurred_at=order.updated_at,
        )


def _line_event(order: Order, lines: Sequence[Line]) -> events_pb2.OrderLineEvent:
    if order.state is State.CONFIRMED:
        return events_pb2.OrderLineEvent(order_lines_placed=events_pb2.OrderLinesPlaced(lines=counted_lines(placed_of(order), +1, lines)))
    return events_pb2.OrderLineEvent(order_lines_reversed=events_pb2.OrderLinesReversed(lines=counted_lines(placed_of(order), -1, lines)))


def _event(order: Order, message: events_pb2.OrderEvent) -> Event:
    return outbox.event(
        topic=ORDERS.name,
        key=order.order_id,
        subject=order.order_id,
        aggregate_version=order.version,
        message=message,
        occurred_at=order.updated_at,
    )
