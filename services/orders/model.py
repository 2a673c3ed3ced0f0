"""The rules of an order: its states, who may move it and who may see it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum

from services.kit.errors import Aborted, FailedPrecondition, InvalidArgument, NotFound
from services.kit.values import value
from services.orders.content import Content


class State(StrEnum):
    """As bazaar.orders.v1.Order.State says it."""

    CREATED = "CREATED"
    PAYMENT_PENDING = "PAYMENT_PENDING"
    PAYMENT_FAILED = "PAYMENT_FAILED"
    CONFIRMED = "CONFIRMED"
    PROCESSING = "PROCESSING"
    SHIPPED = "SHIPPED"
    DELIVERED = "DELIVERED"
    RETURN_REQUESTED = "RETURN_REQUESTED"
    RETURNED = "RETURNED"
    CANCELLING = "CANCELLING"
    CANCELLED = "CANCELLED"


MOVES: dict[State, frozenset[State]] = {
    State.CREATED: frozenset({State.PAYMENT_PENDING, State.CANCELLING}),
    State.PAYMENT_PENDING: frozenset({State.CONFIRMED, State.PAYMENT_FAILED, State.CANCELLING}),
    State.PAYMENT_FAILED: frozenset({State.CANCELLING}),
    State.CONFIRMED: frozenset({State.PROCESSING, State.CANCELLING}),
    State.PROCESSING: frozenset({State.SHIPPED, State.CANCELLING}),
    State.SHIPPED: frozenset({State.DELIVERED}),
    State.DELIVERED: frozenset({State.RETURN_REQUESTED}),
    State.RETURN_REQUESTED: frozenset({State.RETURNED}),
    State.CANCELLING: frozenset({State.CANCELLED}),
    State.RETURNED: frozenset(),
    State.CANCELLED: frozenset(),
}
"""Every legal move. A cancellation always passes through CANCELLING, where stock and money go back."""
PLACED = frozenset({State.CONFIRMED, State.PROCESSING, State.SHIPPED, State.DELIVERED, State.RETURN_REQUESTED, State.RETURNED})
"""States of an order that was confirmed and not cancelled."""
FINAL = frozenset({State.DELIVERED, State.RETURNED, State.CANCELLED})
"""States in which an order waits for nobody; a watcher need not stay."""
PAYMENT_DUE = timedelta(seconds=60)
"""How long a submitted order waits for its payment to be opened before the reaper asks payments."""
CANCELLING_DUE = timedelta(seconds=5)
"""A cancellation that was cut off is taken up again after this."""
BY_CUSTOMER = "CUSTOMER"
BY_STAFF = "STAFF"


class OrderNotFound(NotFound):
    """There is no such order, it is somebody else's, or it isn't shown yet."""

    reason = "ORDER_NOT_FOUND"

    def __init__(self, order_id: str) -> None:
        super().__init__("There is no such order.", order_id=order_id)


class IllegalMove(FailedPrecondition):
    """The order's state doesn't lead where it was sent."""

    reason = "ORDER_STATE_ILLEGAL"

    def __init__(self, order_id: str, state: State, wanted: State) -> None:
        super().__init__(f"An order that is {state} can't become {wanted}.", order_id=order_id, state=state, wanted=wanted)


class VersionStale(Aborted):
    """Somebody else has moved the order on; the caller holds it no longer."""

    reason = "ORDER_VERSION_STALE"

    def __init__(self, order_id: str) -> None:
        super().__init__("Somebody else has moved this order on.", order_id=order_id)


class RequestReused(InvalidArgument):
    """The request id was used for an order of another content."""

    reason = "REQUEST_ID_REUSED"


@value
class Request:
    """What makes two calls the same attempt to order."""

    principal: str
    method: str
    request_id: str
    fingerprint: bytes
    """SHA-256 of the body."""


@value
class TimelineEntry:
    """A state that an order came into, and why where the state doesn't say it all."""

    state: State
    at: datetime
    reason: str = ""


@value
class Order:
    """One order as it stands."""

    order_id: str
    user_id: str
    state: State
    version: int
    created_at: datetime
    updated_at: datetime
    timeline: tuple[TimelineEntry, ...]
    payment_state: str = ""
    payment_version: int = 0
    """Of the newest thing that payments told of it."""
    confirmed_at: datetime | None = None
    due_at: datetime | None = None
    cancel_reason: str = ""
    content: Content | None = None
    """None until it is submitted."""

    @property
    def is_submitted(self) -> bool:
        """Whether anybody but checkout may know of it."""
        return self.content is not None

    @property
    def was_placed(self) -> bool:
        """Whether OrderPlaced went out for it, so that a cancellation takes its lines back out of the rankings."""
        return self.confirmed_at is not None

    @property
    def has_failed(self) -> bool:
        """Whether it came to nothing by nobody's wish: the request that it was opened for may be tried again."""
        return self.state is State.CANCELLED and not self.was_placed and self.cancel_reason not in (BY_CUSTOMER, BY_STAFF)


def move(order: Order, to: State, *, at: datetime, due_at: datetime | None = None, reason: str = "") -> Order:
    """The order in its next state, one version on.

    Args:
        due_at: by when the reaper takes over; None where the new state waits for nobody.
        reason: kept in the timeline.

    Raises:
        IllegalMove: the state doesn't lead there.
    """
    if to not in MOVES[order.state]:
        raise IllegalMove(order.order_id, order.state, to)
    return replace(
        order,
        state=to,
        version=order.version + 1,
        updated_at=at,
        due_at=due_at,
        timeline=(*order.timeline, TimelineEntry(to, at, reason)),
    )


def submitted(order: Order, content: Content, *, version: int, at: datetime) -> Order:
    """The order with its content, waiting for its payment; as it is when this very content was submitted before.

    Args:
        version: the caller holds the order as it was at this version.

    Raises:
        VersionStale: somebody else has moved it on.
    """
    if order.content == content and order.version > version:
        return order
    if order.state is not State.CREATED or order.version != version:
        raise VersionStale(order.order_id)
    return replace(move(order, State.PAYMENT_PENDING, at=at, due_at=at + PAYMENT_DUE), content=content, payment_state="PENDING")


def confirmed(order: Order, payment_state: str, *, at: datetime) -> Order:
    """The order, paid for; as it is when it was confirmed before.

    Args:
        payment_state: what payments said of it: ACCEPTED or CAPTURED.

    Raises:
        IllegalMove: it isn't waiting for its payment.
    """
    if order.state in PLACED:
        return order
    return replace(move(order, State.CONFIRMED, at=at), payment_state=payment_state, confirmed_at=at)


def cancelling(order: Order, reason: str, *, at: datetime, version: int | None = None) -> Order:
    """The order on its way to CANCELLED, where stock and money go back; as it is when it is there already.

    Args:
        version: the caller only means the order as it was at this version.

    Raises:
        IllegalMove: it has been shipped.
        VersionStale: somebody else has moved it on.
    """
    if order.state in (State.CANCELLING, State.CANCELLED):
        return order
    if version is not None and version != order.version:
        raise VersionStale(order.order_id)
    return replace(move(order, State.CANCELLING, at=at, due_at=at + CANCELLING_DUE, reason=reason), cancel_reason=reason)


def cancelled(order: Order, payment_state: str = "", payment_version: int = 0, *, at: datetime) -> Order:
    """The order at its end, once stock and money have gone back; as it is when it has ended before.

    Args:
        payment_state: what payments said of its payment, at this version; empty for an order that had none.

    Raises:
        IllegalMove: it isn't being cancelled.
    """
    if order.state is State.CANCELLED:
        return order
    return with_payment(move(order, State.CANCELLED, at=at), payment_state, payment_version)


def with_payment(order: Order, payment_state: str, version: int) -> Order:
    """The order with what payments said of its payment, at this version; as it is when something newer is known."""
    if version <= order.payment_version:
        return order
    return replace(order, payment_state=payment_state, payment_version=version)


def readable_by(order: Order, *, user_id: str, is_staff: bool) -> Order:
    """The order, if this user may see it.

    Raises:
        OrderNotFound: it isn't shown yet, or is somebody else's; the caller can't tell which.
    """
    if not order.is_submitted or not (is_staff or order.user_id == user_id):
        raise OrderNotFound(order.order_id)
    return order
