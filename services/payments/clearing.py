"""Takes payments step by step to where money stands still, through their gateways.

What a payment wants next is a rule (`model.next_step`). Whoever changes a payment begins its next step at once; the leader takes up what
was cut off, unanswered or refused, again and again. Each call may be repeated, for the payment's id is its idempotency key.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import structlog

from services.kit.errors import DeadlineExceeded
from services.kit.rpc.calls import within
from services.kit.telemetry import tracing
from services.payments.decisions import Link, Report
from services.payments.gateway import Gateway, GatewayAway
from services.payments.model import Notice, Payment, State, Step, next_step
from services.payments.store import PaymentStore

_AT_ONCE = 16
"""Payments that the leader works on at the same time."""

_log = structlog.get_logger("bazaar.payments")


class Clearing:
    """Drives payments.

    Args:
        gateways: by name.
    """

    def __init__(self, payments: PaymentStore, gateways: Mapping[str, Gateway]) -> None:
        self._payments = payments
        self._gateways = gateways

    async def drive(self, payment: Payment) -> Payment:
        """Takes steps until the payment waits for somebody else, or for nothing; returns it as it is then.

        Raises:
            GatewayAway: what became of the last step is not known; it is taken again when it is due.
        """
        while (step := next_step(payment)) and (gateway := self._gateways.get(payment.gateway)):
            after = await self._take(step, gateway, payment)
            if after.state is payment.state:
                return after
            payment = after
        return payment

    async def driven(self, payment: Payment, seconds: float) -> Payment:
        """The same for so long and no longer; a payment that can't be driven now is returned as it was."""
        try:
            return await within(seconds, self.drive(payment))
        except (GatewayAway, DeadlineExceeded):
            return payment

    async def clear(self, limit: int = 100) -> int:
        """Takes the steps that are due, of so many payments; returns how many there were."""
        due, turns = await self._payments.claim(limit), asyncio.Semaphore(_AT_ONCE)

        async def take_turn(payment: Payment) -> None:
            async with turns:
                await self._clear(payment)

        await asyncio.gather(*map(take_turn, due))
        return len(due)

    async def _clear(self, payment: Payment) -> None:
        with tracing.span("clear payment", attributes={tracing.ORDER_ID: payment.order_id}):
            try:
                await self.drive(payment)
            except Exception as error:
                # It stays due: the next attempt is already scheduled.
                _log.warning("a payment couldn't be cleared yet", order_id=payment.order_id, error=type(error).__name__)

    async def _take(self, step: Step, gateway: Gateway, payment: Payment) -> Payment:
        match step:
            case Step.OPEN:
                return await self._open(gateway, payment)
            case Step.ASK:
                notice = await gateway.status(payment)
                # One that has forgotten it is told again.
                return await self._report(payment, notice) if notice else await self._open(gateway, payment)
            case Step.CAPTURE:
                return await self._report(payment, await gateway.capture(payment))
            case Step.VOID:
                return await self._report(payment, await _voided(gateway, payment))
            case Step.REFUND:
                return await self._report(payment, await gateway.refund(payment))

    async def _open(self, gateway: Gateway, payment: Payment) -> Payment:
        return await self._payments.submit(Link(payment.order_id, await gateway.open(payment)))

    async def _report(self, payment: Payment, notice: Notice) -> Payment:
        return await self._payments.submit(Report(payment.order_id, notice))


async def _voided(gateway: Gateway, payment: Payment) -> Notice:
    """Asks first: what has been captured meanwhile isn't to be voided but to be given back."""
    assert payment.amount is not None, "an order that was given up before its payment has no gateway"
    notice = await gateway.status(payment)
    if notice is None:
        return Notice(payment.payment_id, State.VOIDED, payment.amount)
    return notice if notice.state in (State.CAPTURED, State.VOIDED, State.REFUNDED) else await gateway.void(payment)
