"""The rules of stock: what there is, what is held for orders, and what may become of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from services.kit.errors import DomainError, FailedPrecondition, InvalidArgument, NotFound
from services.kit.values import value

MAIN_WAREHOUSE = "main"
"""Where stock lies when nobody says where."""

MAX_ON_HAND = 10**15
"""The most units of a SKU that can be booked into one warehouse."""

DEFAULT_TTL = timedelta(minutes=15)
"""How long an order holds stock when nobody says how long."""


class State(StrEnum):
    """As bazaar.inventory.v1.Reservation.State says it."""

    HELD = "HELD"
    EXPIRED = "EXPIRED"
    """Was held, and its time is up. Never stored: it follows from the clock."""
    COMMITTED = "COMMITTED"
    RELEASED = "RELEASED"
    RETURNED = "RETURNED"


class Kind(StrEnum):
    """Why stock moved, as bazaar.inventory.v1.LedgerEntry.Kind says it."""

    RECEIVED = "RECEIVED"
    ADJUSTED = "ADJUSTED"
    TRANSFERRED = "TRANSFERRED"
    COMMITTED = "COMMITTED"
    RETURNED = "RETURNED"


class OutOfStock(FailedPrecondition):
    """Fewer units can be had than are wanted."""

    reason = "OUT_OF_STOCK"

    def __init__(self, sku: str, *, wanted: int, available: int) -> None:
        message = f"Of {sku}, {wanted} were wanted and {available} are there."
        super().__init__(message, sku=sku, wanted=str(wanted), available=str(available))


class ReservationNotFound(NotFound):
    """Nothing was ever reserved for this order."""

    reason = "RESERVATION_NOT_FOUND"

    def __init__(self, order_id: str) -> None:
        super().__init__("Nothing is reserved for this order.", order_id=order_id)


class ReservationEnded(FailedPrecondition):
    """The reservation is in a state that doesn't lead there any more."""

    reason = "RESERVATION_ENDED"

    def __init__(self, order_id: str, state: State) -> None:
        super().__init__(f"The reservation of this order has ended: it is {state}.", order_id=order_id, state=state)


class ReservationDiffers(InvalidArgument):
    """The order holds other lines than the ones it asks for now."""

    reason = "RESERVATION_DIFFERS"

    def __init__(self, order_id: str) -> None:
        super().__init__("This order has reserved other lines.", order_id=order_id)


class StockBelowZero(FailedPrecondition):
    """More would go than is available."""

    reason = "STOCK_BELOW_ZERO"

    def __init__(self, sku: str, *, available: int) -> None:
        super().__init__(f"Only {available} units of {sku} are available there.", sku=sku, available=str(available))


class StockAboveLimit(FailedPrecondition):
    """More would lie there than a balance can count."""

    reason = "STOCK_ABOVE_LIMIT"

    def __init__(self, sku: str) -> None:
        super().__init__(f"A warehouse counts at most {MAX_ON_HAND} units of {sku}.", sku=sku, limit=str(MAX_ON_HAND))


class ProductNotFound(NotFound):
    """There is no such product on sale."""

    reason = "PRODUCT_NOT_FOUND"

    def __init__(self, product_id: str) -> None:
        super().__init__("There is no such product on sale.", product_id=product_id)


@value
class Line:
    """So many units of a SKU."""

    sku: str
    quantity: int


@value
class Balance:
    """Stock of one SKU in one warehouse, in units."""

    sku: str
    warehouse_id: str
    on_hand: int
    reserved: int
    """Held by reservations that are not due; due ones are folded back before a balance is read."""
    version: int = 0
    """Changes of this balance so far."""

    @property
    def key(self) -> tuple[str, str]:
        return self.sku, self.warehouse_id

    @property
    def available(self) -> int:
        return self.on_hand - self.reserved

    def moved(self, *, on_hand: int = 0, reserved: int = 0) -> Balance:
        """The balance with so many units more (or less)."""
        return Balance(self.sku, self.warehouse_id, self.on_hand + on_hand, self.reserved + reserved, self.version + 1)


@value
class Allocation:
    """Units of a SKU that an order takes from a warehouse."""

    sku: str
    warehouse_id: str
    quantity: int


@value
class Entry:
    """A movement to be written into the ledger."""

    sku: str
    warehouse_id: str
    kind: Kind
    units: int
    """Positive into the warehouse, negative out of it."""
    reference: str
    note: str = ""


@value
class Movement:
    """An entry of the ledger, as it was written."""

    entry_id: int
    entry: Entry
    created_at: datetime


@value
class Reservation:
    """Stock of one order."""

    order_id: str
    state: State
    allocations: tuple[Allocation, ...] = ()
    expires_at: datetime | None = None
    """None where nothing was ever held."""
    fingerprint: bytes = b""
    """Of the lines; empty for an order that was released before it was reserved."""

    @property
    def lines(self) -> list[Line]:
        """What the order wants, by SKU."""
        return total_by_sku(Line(part.sku, part.quantity) for part in self.allocations)


@value
class Reserve:
    """Hold these lines, all or none."""

    order_id: str
    lines: tuple[Line, ...]
    """One a SKU (`total_by_sku`)."""
    ttl: timedelta


@value
class Extend:
    """Hold for so long from now."""

    order_id: str
    ttl: timedelta


@value
class Commit:
    """Take out for good."""

    order_id: str


@value
class Release:
    """Give back what isn't committed."""

    order_id: str


@value
class Return:
    """Give back whatever was taken."""

    order_id: str


Command = Reserve | Extend | Commit | Release | Return
Outcome = Reservation | DomainError
"""What the rules decide for one command; an error is a value here, so that it ends nobody else's batch."""


def total_by_sku(lines: Iterable[Line]) -> list[Line]:
    """One line a SKU with the summed quantity, in the SKUs' byte order."""
    totals: dict[str, int] = {}
    for line in lines:
        totals[line.sku] = totals.get(line.sku, 0) + line.quantity
    return [Line(sku, totals[sku]) for sku in sorted(totals)]


def fingerprint(lines: Iterable[Line]) -> bytes:
    """SHA-256 of lines summed by `total_by_sku`: the same for the same goods, however they were listed."""
    text = "\n".join(f"{line.sku} {line.quantity}" for line in lines)
    return hashlib.sha256(text.encode()).digest()


def allocate(sku: str, quantity: int, balances: Sequence[Balance]) -> list[Allocation]:
    """Splits a quantity over warehouses, in the order given.

    Raises:
        OutOfStock: fewer than `quantity` units are available in all.
    """
    allocations: list[Allocation] = []
    missing = quantity
    for balance in balances:
        if take := min(missing, balance.available):
            allocations.append(Allocation(sku, balance.warehouse_id, take))
            missing -= take
    if missing:
        raise OutOfStock(sku, wanted=quantity, available=quantity - missing)
    return allocations


def booked(balance: Balance, units: int) -> Balance:
    """The balance after units came in (positive) or went (negative) otherwise than by an order.

    Raises:
        StockBelowZero: more would go than is available.
        StockAboveLimit: more than 10^15 would lie there.
    """
    if balance.available + units < 0:
        raise StockBelowZero(balance.sku, available=balance.available)
    if balance.on_hand + units > MAX_ON_HAND:
        raise StockAboveLimit(balance.sku)
    return balance.moved(on_hand=units)
