"""The port to those who move money."""

from __future__ import annotations

from collections.abc import Set
from typing import Protocol

from services.payments.model import Method, Payment


class Gateway(Protocol):
    """Moves money for some payment methods. Cash on delivery needs none."""

    @property
    def methods(self) -> Set[Method]:
        """What it takes now."""
        ...

    async def initiate(self, payment: Payment) -> None:
        """Tells the gateway of a payment that is PENDING; `payment_id` is the idempotency key, so that a repeat opens nothing twice."""
        ...

    async def void(self, payment: Payment) -> None:
        """Tells the gateway that a payment is VOIDED; harmless for one that it doesn't know."""
        ...
