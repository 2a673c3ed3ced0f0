"""What becomes of a payment: a rule for each thing that is wanted or said of it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime

from services.kit.errors import DomainError
from services.kit.money import Money, exponent
from services.kit.values import value
from services.payments.model import (
    MOVES,
    IllegalMove,
    Method,
    MethodUnsupported,
    Notice,
    Payment,
    PaymentDiffers,
    PaymentNotFound,
    State,
    moved,
    scheduled,
)


@value
class Create:
    """Open the payment of an order."""

    order_id: str
    payment_id: str
    """Of the payment, if there is none yet."""
    method: Method
    amount: Money
    """Not negative."""
    gateway: str = ""


@value
class Link:
    """The gateway knows the payment now, and the customer pays there."""

    order_id: str
    link: str


@value
class Report:
    """The gateway has said something."""

    order_id: str
    notice: Notice


@value
class Void:
    """Give the payment of an order up."""

    order_id: str
    payment_id: str
    """Of the row that remembers it, if there is no payment."""


Command = Create | Link | Report | Void
Outcome = Payment | DomainError
"""What the rules decide for one command; an error is a value here, so that it ends nobody else's batch."""


def checked(command: Create, supported: Collection[Method]) -> Create:
    """The command, if the shop can carry it out at all.

    Raises:
        MethodUnsupported: the method is none of these.
        UnknownCurrency: the amount's currency isn't one of ISO 4217.
    """
    if command.method not in supported:
        raise MethodUnsupported(command.method)
    exponent(command.amount.currency)
    return command


def decide(command: Command, payment: Payment | None, at: datetime) -> Outcome:
    """What becomes of an order's payment; the payment itself, unchanged, where the command asks for what is already so."""
    try:
        match command:
            case Create():
                return created(command, payment, at)
            case Link():
                return linked(command, payment, at)
            case Report():
                return reported(command, payment, at)
            case Void():
                return voided(command, payment, at)
    except DomainError as refused:
        return refused


def created(command: Create, payment: Payment | None, at: datetime) -> Payment:
    """The order's payment, opened if it has none.

    Raises:
        IllegalMove: it was given up.
        PaymentDiffers: it has another amount or method.
    """
    if payment is None:
        state = State.ACCEPTED if command.method is Method.COD else State.PENDING
        new = Payment(
            command.payment_id, command.order_id, state, at, at, method=command.method, amount=command.amount, gateway=command.gateway
        )
        return scheduled(new, at)
    if payment.state in (State.VOIDED, State.REFUNDING, State.REFUNDED):
        raise IllegalMove(payment)
    if (payment.method, payment.amount) != (command.method, command.amount):
        raise PaymentDiffers(command.order_id)
    return payment


def linked(command: Link, payment: Payment | None, at: datetime) -> Payment:
    """The payment with its link; as it is when it waits for no customer any more.

    Raises:
        PaymentNotFound: the order has none.
    """
    if payment is None:
        raise PaymentNotFound(order_id=command.order_id)
    if payment.state is not State.PENDING or payment.link == command.link:
        return payment
    return scheduled(replace(payment, link=command.link), at)


def reported(command: Report, payment: Payment | None, at: datetime) -> Payment:
    """The payment after what its gateway said; as it is when that is old news, a repeat, or nothing that leads anywhere from here.

    Raises:
        PaymentNotFound: the order has none, or another one.
        PaymentDiffers: the gateway means another amount.
    """
    notice = command.notice
    if payment is None or payment.payment_id != notice.payment_id:
        raise PaymentNotFound(payment_id=notice.payment_id)
    if notice.amount != payment.amount:
        raise PaymentDiffers(command.order_id)
    match payment.state, notice.state:
        case State.VOIDED, State.CAPTURED:
            # Captured although it was given up: the customer's money goes back by itself.
            return _heard(moved(payment, State.REFUNDING, at), notice)
        case State.VOIDED, State.VOIDED | State.REFUNDED:
            return payment if payment.due_at is None else replace(payment, due_at=None)
        case _, State.AUTHORIZED | State.FAILED | State.VOIDED if _is_older(notice, payment):
            return payment
        case _, State.AUTHORIZED | State.CAPTURED | State.FAILED | State.VOIDED | State.REFUNDED if notice.state in MOVES[payment.state]:
            return _heard(moved(payment, notice.state, at), notice)
        case _:
            return payment


def voided(command: Void, payment: Payment | None, at: datetime) -> Payment:
    """The order's payment, given up; a voided one without method and amount if it had none. Money that has moved begins its way back."""
    if payment is None:
        return Payment(command.payment_id, command.order_id, State.VOIDED, at, at)
    if payment.state in (State.VOIDED, State.REFUNDING, State.REFUNDED):
        return payment
    return moved(payment, State.REFUNDING if payment.state is State.CAPTURED else State.VOIDED, at)


def _heard(payment: Payment, notice: Notice) -> Payment:
    newest = max(filter(None, (payment.reported_at, notice.at)), default=None)
    reason = notice.reason if payment.state is State.FAILED else ""
    return replace(payment, reported_at=newest, failure_reason=reason)


def _is_older(notice: Notice, payment: Payment) -> bool:
    """A capture or a refund is a fact whenever it is told of; anything else may have been overtaken."""
    return notice.at is not None and payment.reported_at is not None and notice.at <= payment.reported_at
