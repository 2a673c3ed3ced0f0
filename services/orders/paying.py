"""The rules of an order that waits for its payment."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from services.orders.model import Order, State, move, with_payment

PAYMENT_WINDOW = timedelta(minutes=15)
"""How long a customer has to pay, from when the order was opened."""

HOLD_GRACE = timedelta(minutes=1)
"""How much longer the stock is held: a payment of the last second is still on its way."""

PAYMENT_FAILED_DUE = timedelta(seconds=2)


def pay_until(order: Order) -> datetime:
    """By then its customer must have paid."""
    return order.created_at + PAYMENT_WINDOW


def awaiting(order: Order, *, at: datetime) -> Order:
    """The order with the time to pay that a customer has; as it is when it waits for no payment, or that time is over."""
    if order.state is not State.PAYMENT_PENDING or at >= pay_until(order) or order.due_at == pay_until(order):
        return order
    return replace(order, due_at=pay_until(order))


def payment_told(order: Order, payment_state: str, version: int, *, at: datetime) -> Order:
    """The order with its payment's newest state beside its own; as it is when something newer is known."""
    after = with_payment(order, payment_state, version)
    return after if after.payment_state == order.payment_state else replace(after, version=order.version + 1, updated_at=at)


def payment_failed(order: Order, reason: str, *, at: datetime) -> Order:
    """The order whose customer couldn't pay, about to be cancelled; as it is when it doesn't wait for a payment."""
    if order.state is not State.PAYMENT_PENDING:
        return order
    return move(order, State.PAYMENT_FAILED, at=at, due_at=at + PAYMENT_FAILED_DUE, reason=reason)
