"""The rules of a payment at the gateway."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

PENDING, AUTHORIZED, CAPTURED, FAILED, VOIDED, REFUNDED = "PENDING", "AUTHORIZED", "CAPTURED", "FAILED", "VOIDED", "REFUNDED"

METHODS = ("UPI", "CARD")
"""UPI takes the money when the customer pays; a card's is only authorized then, and captured on request."""

MOVES = {
    "authorize": {PENDING: AUTHORIZED, FAILED: AUTHORIZED},
    "pay": {PENDING: CAPTURED, FAILED: CAPTURED},
    "decline": {PENDING: FAILED, FAILED: FAILED},
    "capture": {AUTHORIZED: CAPTURED},
    "void": {PENDING: VOIDED, FAILED: VOIDED, AUTHORIZED: VOIDED},
    "refund": {CAPTURED: REFUNDED},
}
"""Where each action leads from where. What it doesn't name is refused, and a repeat finds its work done."""

REPEATS = {"capture": CAPTURED, "void": VOIDED, "refund": REFUNDED}
"""The state in which an action has been done before."""


class Refused(Exception):
    """The request can't be carried out; the text says why."""


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment as the gateway has it."""

    payment_id: str
    token: str
    """What only its link holds."""
    method: str
    currency: str
    minor_units: int
    reference: str
    """The shop's own name for what is paid."""
    state: str = PENDING
    reason: str = ""
    changed_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Switches:
    """What goes wrong at the moment. All are off to begin with, and stay as they are set when the process is restarted."""

    decline: bool = False
    """Every attempt to pay is declined."""
    webhook_delay_seconds: float = 0.0
    duplicate_webhooks: int = 0
    """Each is sent so many times more."""
    disorder: bool = False
    """A payment's first webhook comes a second late, so that the next one overtakes it."""
    lose_webhooks: bool = False
    answer_delay_seconds: float = 0.0
    """The API acts at once and answers late; over the caller's patience, it is a time-out."""
    unknown: bool = False
    """The API acts and answers 500."""
    down: bool = False
    """The API answers 503 and does nothing. Customers can pay all the same."""
    late: bool = False
    """Customers can still pay what was voided: their bank hadn't heard."""

    def changed(self, wanted: Mapping[str, object]) -> Switches:
        """These switches with some set anew.

        Raises:
            Refused: one isn't known, or is set to what it can't be.
        """
        for name, value in wanted.items():
            if name not in self.__slots__:
                raise Refused(f"There is no switch {name}; there are {', '.join(self.__slots__)}.")
            if isinstance(value, bool) != isinstance(getattr(self, name), bool) or not isinstance(value, bool | int | float) or value < 0:
                raise Refused(f"The switch {name} can't be {value!r}.")
        return replace(self, **wanted)  # type: ignore[arg-type]


def moved(payment: Payment, action: str, *, at: float, is_late: bool = False) -> Payment:
    """The payment after an action; as it is when that was done before.

    Args:
        is_late: a voided payment can be paid all the same.

    Raises:
        Refused: its state doesn't lead there.
    """
    if REPEATS.get(action) == payment.state:
        return payment
    before = PENDING if is_late and payment.state == VOIDED and action in ("pay", "authorize", "decline") else payment.state
    if before not in MOVES[action]:
        raise Refused(f"The payment is {payment.state}.")
    to = MOVES[action][before]
    return replace(payment, state=to, reason="DECLINED" if to == FAILED else "", changed_at=at)


def paying(payment: Payment) -> str:
    """What it is to pay by this payment's method."""
    return "pay" if payment.method == "UPI" else "authorize"
