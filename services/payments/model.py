"""The rules of a payment: which methods are taken, and from which state to which it may go."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from services.kit.errors import DomainError, FailedPrecondition, InvalidArgument, NotFound
from services.kit.money import Money, exponent


class Method(StrEnum):
    """As bazaar.payments.v1.Payment.Method says it."""

    COD = "COD"
    """Cash on delivery."""
    UPI = "UPI"
    CARD = "CARD"
    NET_BANKING = "NET_BANKING"
    WALLET = "WALLET"
    PAY_LATER = "PAY_LATER"


class State(StrEnum):
    """As bazaar.payments.v1.Payment.State says it."""

    PENDING = "PENDING"
    ACCEPTED = "ACCEPTED"
    AUTHORIZED = "AUTHORIZED"
    CAPTURED = "CAPTURED"
    FAILED = "FAILED"
    VOIDED = "VOIDED"
    REFUNDED = "REFUNDED"


MOVES: dict[State, frozenset[State]] = {
    State.PENDING: frozenset({State.AUTHORIZED, State.CAPTURED, State.FAILED, State.VOIDED}),
    State.ACCEPTED: frozenset({State.CAPTURED, State.FAILED, State.VOIDED}),
    State.AUTHORIZED: frozenset({State.CAPTURED, State.FAILED, State.VOIDED}),
    State.FAILED: frozenset({State.VOIDED}),
    State.CAPTURED: frozenset({State.REFUNDED}),
    State.VOIDED: frozenset(),
    State.REFUNDED: frozenset(),
}
"""Every legal move. Once money has moved it is given back, never voided."""


class MethodUnsupported(InvalidArgument):
    """The shop doesn't take this payment method."""

    reason = "PAYMENT_METHOD_UNSUPPORTED"

    def __init__(self, method: Method) -> None:
        super().__init__(f"The shop doesn't take {method}.", method=method)


class PaymentNotFound(NotFound):
    """The order has no payment."""

    reason = "PAYMENT_NOT_FOUND"

    def __init__(self, order_id: str) -> None:
        super().__init__("There is no payment for this order.", order_id=order_id)


class IllegalMove(FailedPrecondition):
    """The payment's state doesn't lead there."""

    reason = "PAYMENT_STATE_ILLEGAL"

    def __init__(self, payment: Payment) -> None:
        super().__init__(f"The payment is {payment.state}.", payment_id=payment.payment_id, state=payment.state)


class PaymentDiffers(InvalidArgument):
    """The order is paid in another way or with another amount."""

    reason = "PAYMENT_DIFFERS"

    def __init__(self, order_id: str) -> None:
        super().__init__("This order has a payment of another amount or method.", order_id=order_id)


@dataclass(frozen=True, slots=True)
class Payment:
    """How one order is paid."""

    payment_id: str
    order_id: str
    state: State
    created_at: datetime
    updated_at: datetime
    version: int = 1
    method: Method | None = None
    """None, as the amount, where the order was voided before it had a payment."""
    amount: Money | None = None


@dataclass(frozen=True, slots=True)
class Create:
    """Open the payment of an order."""

    order_id: str
    payment_id: str
    """Of the payment, if there is none yet."""
    method: Method
    amount: Money
    """Not negative."""


@dataclass(frozen=True, slots=True)
class Void:
    """Give the payment of an order up."""

    order_id: str
    payment_id: str
    """Of the row that remembers it, if there is no payment."""


Command = Create | Void
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
        return created(command, payment, at) if isinstance(command, Create) else voided(command, payment, at)
    except DomainError as refused:
        return refused


def created(command: Create, payment: Payment | None, at: datetime) -> Payment:
    """The order's payment, opened if it has none.

    Raises:
        IllegalMove: it was voided.
        PaymentDiffers: it has another amount or method.
    """
    if payment is None:
        state = State.ACCEPTED if command.method is Method.COD else State.PENDING
        return Payment(command.payment_id, command.order_id, state, at, at, method=command.method, amount=command.amount)
    if payment.state is State.VOIDED:
        raise IllegalMove(payment)
    if (payment.method, payment.amount) != (command.method, command.amount):
        raise PaymentDiffers(command.order_id)
    return payment


def voided(command: Void, payment: Payment | None, at: datetime) -> Payment:
    """The order's payment, given up; a voided one without method and amount if it had none.

    Raises:
        IllegalMove: money has moved.
    """
    if payment is None:
        return Payment(command.payment_id, command.order_id, State.VOIDED, at, at)
    return payment if payment.state is State.VOIDED else moved(payment, State.VOIDED, at)


def moved(payment: Payment, to: State, at: datetime) -> Payment:
    """The payment in its next state, one version on.

    Raises:
        IllegalMove: its state doesn't lead there.
    """
    if to not in MOVES[payment.state]:
        raise IllegalMove(payment)
    return replace(payment, state=to, version=payment.version + 1, updated_at=at)
