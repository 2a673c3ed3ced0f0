"""The port to those who move money."""

from __future__ import annotations

from collections.abc import Mapping, Set
from datetime import timedelta
from typing import Protocol

from services.kit.errors import NotFound, Unauthenticated, Unavailable
from services.payments.model import Method, Notice, Payment

RETRY_AFTER = timedelta(seconds=5)


class GatewayAway(Unavailable):
    """No answer, or none that says what has become of the payment: whether anything happened is to be asked for, never assumed."""

    reason = "GATEWAY_AWAY"

    def __init__(self, gateway: str) -> None:
        super().__init__("The payment gateway can't be reached.", retry_after=RETRY_AFTER, gateway=gateway)


class GatewayNotFound(NotFound):
    """No gateway of this name sends webhooks here."""

    reason = "GATEWAY_NOT_FOUND"

    def __init__(self, gateway: str) -> None:
        super().__init__("There is no such gateway.", gateway=gateway)


class WebhookRefused(Unauthenticated):
    """The webhook isn't the gateway's, or is too old."""

    reason = "WEBHOOK_REFUSED"

    def __init__(self, why: str) -> None:
        super().__init__(f"The webhook is refused: {why}.", why=why)


class Gateway(Protocol):
    """Moves money for some payment methods. Cash on delivery needs none.

    A payment's id is the idempotency key of each kind of call: a repeat changes nothing and answers how the payment stands. All but
    `read_webhook` raise GatewayAway.
    """

    @property
    def name(self) -> str:
        """As in the path of its webhooks."""
        ...

    @property
    def methods(self) -> Set[Method]:
        """What it takes."""
        ...

    async def open(self, payment: Payment) -> str:
        """Tells the gateway of a payment; returns the link where the customer pays."""
        ...

    async def status(self, payment: Payment) -> Notice | None:
        """How the payment stands there; None when the gateway doesn't know it."""
        ...

    async def capture(self, payment: Payment) -> Notice:
        """Takes the money that is authorized."""
        ...

    async def void(self, payment: Payment) -> Notice:
        """Lets go of a payment that isn't captured."""
        ...

    async def refund(self, payment: Payment) -> Notice:
        """Gives back all that was captured; the answer may say that it takes time (REFUNDING)."""
        ...

    def read_webhook(self, headers: Mapping[str, str], body: bytes) -> Notice:
        """What a webhook says, once it is certain that the gateway says it.

        Raises:
            WebhookRefused: the signature doesn't fit these bytes, or is too old.
            InvalidArgument: it is signed, and can't be read.
        """
        ...

    async def close(self) -> None:
        """Ends its connections."""
        ...
