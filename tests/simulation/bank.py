"""The sandbox gateway in memory, by its own rules, as the shop's adapter sees it."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal

from sandbox import model
from sandbox.model import paying
from services.kit.money import Money
from services.payments.gateway import GatewayAway
from services.payments.model import Method, Notice, Payment, State
from tests.simulation.clockwork import Clockwork

Mood = Literal["well", "down", "unknown"]
"""Down does nothing; unknown does it and doesn't say so."""


class Bank:
    """A gateway that captures late, tells twice, in any order or never, and isn't always there."""

    name = "sandbox"
    methods = frozenset({Method.UPI, Method.CARD})

    def __init__(self, clockwork: Clockwork) -> None:
        self._clockwork = clockwork
        self.mood: Mood = "well"
        self.payments: dict[str, model.Payment] = {}
        self.moved: defaultdict[str, Counter[str]] = defaultdict(Counter)
        """How often each payment came into each state."""
        self.webhooks: list[bytes] = []

    async def open(self, payment: Payment) -> str:
        assert payment.method is not None
        assert payment.amount is not None
        await self._hear()
        amount = payment.amount
        new = model.Payment(payment.payment_id, payment.payment_id, payment.method, amount.currency, amount.minor_units, payment.order_id)
        self.payments.setdefault(payment.payment_id, new)
        await self._say()
        return f"pay/{payment.payment_id}"

    async def status(self, payment: Payment) -> Notice | None:
        await self._hear()
        await self._say()
        found = self.payments.get(payment.payment_id)
        return _notice(found) if found else None

    async def capture(self, payment: Payment) -> Notice:
        return await self._settle("capture", payment)

    async def void(self, payment: Payment) -> Notice:
        return await self._settle("void", payment)

    async def refund(self, payment: Payment) -> Notice:
        return await self._settle("refund", payment)

    def read_webhook(self, headers: Mapping[str, str], body: bytes) -> Notice:
        return _notice(model.Payment(**json.loads(body)))

    async def close(self) -> None:
        """Nothing is open."""

    def pay(self, payment_id: str, *, declines: bool, is_late: bool) -> None:
        """What the customer does on the page."""
        payment = self.payments[payment_id]
        self._act(payment_id, "decline" if declines else paying(payment), is_late=is_late)

    def was_voided(self, webhook: bytes) -> bool:
        """Whether the payment that a webhook tells of was ever given up here."""
        return self.moved[json.loads(webhook)["payment_id"]]["VOIDED"] > 0

    def _act(self, payment_id: str, action: str, *, is_late: bool = False) -> None:
        before = self.payments[payment_id]
        # Two things never happen at the very same time.
        at = self._clockwork.now().timestamp() + sum(self.moved[payment_id].values()) / 1e6
        try:
            after = model.moved(before, action, at=at, is_late=is_late)
        except model.Refused:
            return
        if after is not before:
            self.payments[payment_id] = after
            self.moved[payment_id][after.state] += 1
            self.webhooks.append(json.dumps({name: getattr(after, name) for name in after.__slots__}).encode())

    async def _settle(self, action: str, payment: Payment) -> Notice:
        await self._hear()
        if payment.payment_id not in self.payments:
            raise GatewayAway(self.name)
        self._act(payment.payment_id, action)
        await self._say()
        return _notice(self.payments[payment.payment_id])

    async def _hear(self) -> None:
        await self._clockwork.effect()
        if self.mood == "down":
            raise GatewayAway(self.name)

    async def _say(self) -> None:
        await self._clockwork.effect()
        if self.mood == "unknown":
            raise GatewayAway(self.name)


def _notice(of: model.Payment) -> Notice:
    at = datetime.fromtimestamp(of.changed_at, UTC) if of.changed_at else None
    return Notice(of.payment_id, State(of.state), Money(of.currency, of.minor_units), of.reason, at)
