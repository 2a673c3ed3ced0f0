"""Orders as protobuf says them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from bazaar.orders.v1 import orders_pb2, orders_service_pb2
from bazaar.payments.v1 import payments_pb2
from bazaar.pricing.v1 import pricing_pb2
from bazaar.type.v1 import money_pb2
from services.orders.content import Address, Content, Line, Placed
from services.orders.model import Order, State

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_SECONDS = 86_400
_ADDRESS = tuple(field.name for field in orders_pb2.DeliveryAddress.DESCRIPTOR.fields)


def to_proto(order: Order) -> orders_pb2.Order:
    """An order for its owner."""
    message = orders_pb2.Order(
        order_id=order.order_id,
        user_id=order.user_id,
        state=orders_pb2.Order.State.Value(order.state),
        timeline=[
            orders_pb2.TimelineEntry(state=orders_pb2.Order.State.Value(entry.state), time=timestamp(entry.at), reason=entry.reason)
            for entry in order.timeline
        ],
        create_time=timestamp(order.created_at),
        update_time=timestamp(order.updated_at),
        confirm_time=timestamp(order.confirmed_at),
        due_time=timestamp(order.due_at),
        cancel_reason=order.cancel_reason,
        version=order.version,
    )
    if order.payment_state:
        message.payment_state = payments_pb2.Payment.State.Value(order.payment_state)
    if content := order.content:
        _add_content(message, content)
    return message


def placed_of(order: Order) -> Placed:
    """What rankings count of a confirmed order."""
    assert order.content is not None, "only submitted orders are counted"
    assert order.confirmed_at is not None, "and only confirmed ones"
    return Placed(order.order_id, order.confirmed_at, order.state is State.CANCELLED, order.content.currency, tuple(order.content.lines))


def counted_lines(order: Placed, sign: int, lines: Iterable[Line]) -> list[orders_pb2.CountedLine]:
    """Lines of a confirmed order as rankings count them.

    Args:
        sign: +1 placed, −1 taken back.
    """
    placed, currency = timestamp(order.confirmed_at), order.currency
    return [
        orders_pb2.CountedLine(
            order_id=order.order_id,
            line_number=line.line_number,
            sign=sign,
            sku=line.sku,
            product_id=line.product_id,
            category_id=line.category_id,
            quantity=line.quantity,
            net_amount=money(currency, line.net_amount),
            placed_time=placed,
        )
        for line in lines
    ]


def content_of(request: orders_service_pb2.SubmitOrderRequest) -> Content:
    """What a submitted quote, address and method come to."""
    quote = request.quote
    return Content(
        currency=quote.total.currency_code,
        lines=tuple(_line(number, line) for number, line in enumerate(quote.lines, start=1)),
        subtotal=quote.subtotal.minor_units,
        discount=quote.discount.minor_units,
        shipping=quote.shipping.minor_units,
        tax=quote.tax.minor_units,
        total=quote.total.minor_units,
        payment_method=payments_pb2.Payment.Method.Name(request.payment_method),
        address=Address(**{name: getattr(request.address, name) for name in _ADDRESS}),
        cart_id=request.cart_id,
    )


def money(currency: str, minor_units: int) -> money_pb2.Money:
    """An amount of the order's currency."""
    return money_pb2.Money(currency_code=currency, minor_units=minor_units)


def timestamp(at: datetime | None) -> Timestamp | None:
    """A time, where there is one."""
    if at is None:
        return None
    # FromDatetime goes by way of a calendar, and takes more than twice as long.
    since = at - _EPOCH
    return Timestamp(seconds=since.days * _DAY_SECONDS + since.seconds, nanos=since.microseconds * 1000)


def _line(number: int, line: pricing_pb2.QuoteLine) -> Line:
    return Line(
        line_number=number,
        sku=line.sku,
        product_id=line.product_id,
        title=line.title,
        category_id=line.category_id,
        quantity=line.quantity,
        unit_price=line.unit_price.minor_units,
        net_amount=line.net_amount.minor_units,
        tax=line.tax.minor_units,
    )


def _add_content(message: orders_pb2.Order, content: Content) -> None:
    currency = content.currency
    for field in ("subtotal", "discount", "shipping", "tax", "total"):
        getattr(message, field).CopyFrom(money(currency, getattr(content, field)))
    message.payment_method = payments_pb2.Payment.Method.Value(content.payment_method)
    for name in _ADDRESS:
        setattr(message.address, name, getattr(content.address, name))
    message.lines.extend(
        orders_pb2.OrderLine(
            line_number=line.line_number,
            sku=line.sku,
            product_id=line.product_id,
            title=line.title,
            category_id=line.category_id,
            quantity=line.quantity,
            unit_price=money(currency, line.unit_price),
            net_amount=money(currency, line.net_amount),
            tax=money(currency, line.tax),
        )
        for line in content.lines
    )
