"""What was ordered: the lines, what they cost, and where they go."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from services.kit.values import value


@value
class Line:
    """One SKU of an order; amounts in minor units of the order's currency."""

    line_number: int
    sku: str
    product_id: str
    title: str
    category_id: str
    quantity: int
    unit_price: int
    net_amount: int
    """Without tax and shipping."""
    tax: int

    @property
    def root_category(self) -> str:
        """The first level of its category: where rankings count it."""
        return self.category_id.partition(".")[0]


@value
class Placed:
    """What rankings count of an order that was confirmed once."""

    order_id: str
    confirmed_at: datetime
    is_cancelled: bool
    """Its lines have been taken back since."""
    currency: str
    lines: tuple[Line, ...]


@value
class Address:
    """Where the order goes: a copy, so that it stays what it was."""

    address_id: str
    line1: str
    line2: str
    city: str
    state: str
    pincode: str
    country: str


@value
class Content:
    """What was bought and for how much; never changes once it is there. Amounts in minor units."""

    currency: str
    lines: tuple[Line, ...]
    subtotal: int
    discount: int
    shipping: int
    tax: int
    total: int
    payment_method: str
    address: Address
    cart_id: str = ""
    """Empty when it was placed from lines."""


def by_root_category(lines: Iterable[Line]) -> dict[str, list[Line]]:
    """The lines of each root category, for the events that rankings read."""
    roots: dict[str, list[Line]] = {}
    for line in lines:
        roots.setdefault(line.root_category, []).append(line)
    return roots
