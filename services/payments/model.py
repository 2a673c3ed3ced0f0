"""The rules of a payment: which methods are taken, from which state to which it may go, and what its gateway is told next."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum, StrEnum, auto

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
    REFUNDING = "REFUNDING"
    REFUNDED = "REFUNDED"


MOVES: dict[State, frozenset[State]] = {
    State.PENDING: frozenset({State.AUTHORIZED, State.CAPTURED, State.FAILED, State.VOIDED}),
    State.ACCEPTED: frozenset({State.CAPTURED, State.FAILED, State.VOIDED}),
    State.AUTHORIZED: frozenset({State.CAPTURED, State.FAILED, State.VOIDED}),
    # A customer who was declined may try again, and the two reports may come in any order.
    State.FAILED: frozenset({State.CAPTURED, State.VOIDED}),
    State.CAPTURED: frozenset({State.REFUNDING}),
    # What is captured after all goes back.
    State.VOIDED: frozenset({State.REFUNDING}),
    State.REFUNDING: frozenset({State.REFUNDED}),
    State.REFUNDED: frozenset(),
}
"""Every legal move. Once money has moved it is given back, never voided."""


class Step(Enum):
    """What a payment wants of its gateway next."""

    OPEN = auto()
    ASK = auto()
    """What has become of it."""
    CAPTURE = auto()
    VOID = auto()
    REFUND = auto()


STEP_DUE = timedelta(seconds=2)
"""A step that was begun with the change of state, and cut off, is taken up again after this."""
ASK_DUE = timedelta(seconds=5)
"""How long a customer who has a link is left to the gateway's own report before it is asked."""
LONGEST_PAUSE = timedelta(seconds=60)


class MethodUnsupported(InvalidArgument):
    """The shop doesn't take this payment method."""

    reason = "PAYMENT_METHOD_UNSUPPORTED"

    def __init__(self, method: Method) -> None:
        super().__init__(f"The shop doesn't take {method}.", method=method)


class PaymentNotFound(NotFound):
    """There is no such payment."""

    reason = "PAYMENT_NOT_FOUND"

    def __init__(self, *, order_id: str = "", payment_id: str = "") -> None:
        which = {"order_id": order_id} if order_id else {"payment_id": payment_id}
        super().__init__("There is no such payment.", retry_after=None, **which)


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
    """Grows with every change of state."""
    method: Method | None = None
    """None, as the amount, where the order was voided before it had a payment."""
    amount: Money | None = None
    gateway: str = ""
    """Empty where no gateway is needed."""
    link: str = ""
    """Where the customer pays; empty until the gateway has said so."""
    failure_reason: str = ""
    reported_at: datetime | None = None
    """The gateway's own time of the newest report that was heard."""
    due_at: datetime | None = None
    """When the next step is due; None when there is none."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What a gateway says of a payment."""

    payment_id: str
    state: State
    amount: Money
    reason: str = ""
    """Why it FAILED."""
    at: datetime | None = None
    """When it came into that state, by the gateway's clock; None when it doesn't say."""


@dataclass(frozen=True, slots=True)
class Create:
    """Open the payment of an order."""

    order_id: str
    payment_id: str
    """Of the payment, if there is none yet."""
    method: Method
    amount: Money
    """Not negative."""
    gateway: str = ""


@dataclass(frozen=True, slots=True)
class Link:
    """The gateway knows the payment now, and the customer pays there."""

    order_id: str
    link: str


@dataclass(frozen=True, slots=True)
class Report:
    """The gateway has said something."""

    order_id: str
    notice: Notice


@dataclass(frozen=True, slots=True)
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
        return _scheduled(new, at)
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
    return _scheduled(replace(payment, link=command.link), at)


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


def moved(payment: Payment, to: State, at: datetime) -> Payment:
    """The payment in its next state, one version on.

    Raises:
        IllegalMove: its state doesn't lead there.
    """
    if to not in MOVES[payment.state]:
        raise IllegalMove(payment)
    return _scheduled(replace(payment, state=to, version=payment.version + 1, updated_at=at), at)


def next_step(payment: Payment) -> Step | None:
    """What its gateway is to be told or asked; None when the payment waits for nothing there."""
    if not payment.gateway:
        return None
    match payment.state:
        case State.PENDING:
            return Step.ASK if payment.link else Step.OPEN
        case State.AUTHORIZED:
            return Step.CAPTURE
        case State.VOIDED:
            return Step.VOID
        case State.REFUNDING:
            return Step.REFUND
        case _:
            return None


def pause_after(attempts: int, jitter: float) -> timedelta:
    """How long to wait for the next attempt: doubling from 2 seconds to a minute.

    Args:
        attempts: made so far.
        jitter: from 0 to 1; shortens the pause by up to a half, so that what failed together doesn't come back together.
    """
    return min(LONGEST_PAUSE, STEP_DUE * 2 ** min(attempts, 10)) * (1 - jitter / 2)


def _scheduled(payment: Payment, at: datetime) -> Payment:
    step = next_step(payment)
    due = None if step is None else at + (ASK_DUE if step is Step.ASK else STEP_DUE)
    return replace(payment, due_at=due)


def _heard(payment: Payment, notice: Notice) -> Payment:
    newest = max(filter(None, (payment.reported_at, notice.at)), default=None)
    reason = notice.reason if payment.state is State.FAILED else ""
    return replace(payment, reported_at=newest, failure_reason=reason)


def _is_older(notice: Notice, payment: Payment) -> bool:
    """A capture or a refund is a fact whenever it is told of; anything else may have been overtaken."""
    return notice.at is not None and payment.reported_at is not None and notice.at <= payment.reported_at
