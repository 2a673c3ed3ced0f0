"""What a payment is: its states, from which to which it may go, and what its gateway is told next."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from enum import Enum, StrEnum, auto

from services.kit.errors import FailedPrecondition, InvalidArgument, NotFound
from services.kit.money import Money
from services.kit.values import value


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


@value
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


@value
class Notice:
    """What a gateway says of a payment."""

    payment_id: str
    state: State
    amount: Money
    reason: str = ""
    """Why it FAILED."""
    at: datetime | None = None
    """When it came into that state, by the gateway's clock; None when it doesn't say."""


def moved(payment: Payment, to: State, at: datetime) -> Payment:
    """The payment in its next state, one version on.

    Raises:
        IllegalMove: its state doesn't lead there.
    """
    if to not in MOVES[payment.state]:
        raise IllegalMove(payment)
    return scheduled(replace(payment, state=to, version=payment.version + 1, updated_at=at), at)


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


def scheduled(payment: Payment, at: datetime) -> Payment:
    """The payment with the time by which its next step is taken up again, should whoever begins it now not end it."""
    step = next_step(payment)
    due = None if step is None else at + (ASK_DUE if step is Step.ASK else STEP_DUE)
    return replace(payment, due_at=due)
