"""Drives orders to their end: confirms the paid ones, undoes the others.

Every step may be repeated and may be cut off anywhere: what is to happen is noted in the order's row first, stock and money follow, and the
reaper goes on with whatever was left, through these same methods.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import grpc
import structlog

from bazaar.inventory.v1 import inventory_service_pb2 as inventory_pb2
from bazaar.inventory.v1 import inventory_service_pb2_grpc as inventory_grpc
from bazaar.payments.v1 import payments_pb2, payments_service_pb2, payments_service_pb2_grpc
from services.kit.clock import Clock, system_clock
from services.kit.rpc.status import reason_of
from services.kit.telemetry import tracing
from services.orders.model import IllegalMove, Order, OrderNotFound, State, VersionStale, cancelled, cancelling, confirmed
from services.orders.paying import HOLD_GRACE, awaiting, pay_until, payment_failed, payment_told
from services.orders.store import Decide, OrderStore

EXPIRED, OUT_OF_STOCK, PAYMENT_FAILED = "EXPIRED", "OUT_OF_STOCK", "PAYMENT_FAILED"
"""Why an order is cancelled by itself."""

_RETRY_AFTER = timedelta(seconds=2)
_STOCK_IS_GONE = {"OUT_OF_STOCK", "RESERVATION_ENDED", "RESERVATION_NOT_FOUND"}
_PAYMENT = payments_pb2.Payment
_PAID = {_PAYMENT.ACCEPTED: "ACCEPTED", _PAYMENT.CAPTURED: "CAPTURED"}
_UNDER_WAY = {_PAYMENT.PENDING, _PAYMENT.AUTHORIZED}
_log = structlog.get_logger("bazaar.orders")


class Settlement:
    """The one way to CONFIRMED and the one way to CANCELLED."""

    def __init__(
        self,
        store: OrderStore,
        inventory: inventory_grpc.InventoryServiceAsyncStub,
        payments: payments_service_pb2_grpc.PaymentsServiceAsyncStub,
        clock: Clock = system_clock,
    ) -> None:
        self._store = store
        self._inventory = inventory
        self._payments = payments
        self._clock = clock

    async def confirm(self, order_id: str, payment_state: str) -> Order:
        """Commits the stock of a paid order, then confirms it. Idempotent.

        Raises:
            IllegalMove: it isn't waiting for its payment.
            AioRpcError: the stock is gone (OUT_OF_STOCK): the order has been cancelled; or inventory can't be asked.
        """
        return await self._confirm(order_id, lambda order, now: confirmed(order, payment_state, at=now))

    async def await_payment(self, order_id: str) -> Order:
        """Gives the customer the time to pay, and holds the stock for as long and a little longer. Idempotent.

        Raises:
            AioRpcError: the stock is gone (OUT_OF_STOCK): the order has been cancelled; or inventory can't be asked.
        """
        order = await self._store.read(order_id)
        if order.state is not State.PAYMENT_PENDING:
            return order
        left = pay_until(order) - self._clock()
        if left > timedelta():
            ask = inventory_pb2.ExtendReservationRequest(order_id=order_id)
            ask.ttl.FromTimedelta(left + HOLD_GRACE)
            async with self._cancelled_without_stock(order_id):
                await self._inventory.ExtendReservation(ask)
        return await self._store.change(order_id, lambda order, now: awaiting(order, at=now))

    async def captured(self, order_id: str, version: int) -> bool:
        """What follows from a payment: its order is confirmed, or the money goes back. Idempotent.

        Args:
            version: of the payment.

        Returns:
            Whether the order is confirmed; it then says that it is paid.
        """

        def paid(order: Order, now: datetime) -> Order:
            return payment_told(confirmed(order, "CAPTURED", at=now), "CAPTURED", version, at=now)

        try:
            await self._confirm(order_id, paid)
            return True
        except (IllegalMove, OrderNotFound):
            # It came to nothing meanwhile, or never was.
            pass
        except grpc.aio.AioRpcError as error:
            # Then the order is cancelled: its money has been sent back with that, or this does it.
            if reason_of(error) not in _STOCK_IS_GONE:
                raise
        await self._payments.VoidPayment(payments_service_pb2.VoidPaymentRequest(order_id=order_id))
        return False

    async def fail_payment(self, order_id: str, reason: str) -> None:
        """What follows when the customer couldn't pay: the order is cancelled. Idempotent; one that is paid or ended stays as it is."""
        order = await self._store.change(order_id, lambda order, now: payment_failed(order, reason, at=now))
        if order.state is State.PAYMENT_FAILED:
            await self.cancel(order_id, reason=PAYMENT_FAILED)

    async def cancel(self, order_id: str, *, reason: str, version: int | None = None) -> Order:
        """Cancels an order that hasn't been shipped: notes it, gives stock and money back, then says so. Idempotent.

        Args:
            version: the caller only means the order as it was at this version.

        Raises:
            IllegalMove: it has been shipped.
            VersionStale: somebody else has moved it on.
        """
        order = await self._store.change(order_id, lambda order, now: cancelling(order, reason, at=now, version=version))
        return order if order.state is State.CANCELLED else await self._give_back(order)

    async def settle(self, order: Order) -> None:
        """Moves an order on whose time is up, towards whichever end payments and inventory say.

        Raises:
            VersionStale: somebody else has moved it on.
            AioRpcError: payments or inventory can't be asked.
        """
        match order.state:
            case State.CREATED:
                await self.cancel(order.order_id, reason=EXPIRED, version=order.version)
            case State.CANCELLING:
                await self._give_back(order)
            case State.PAYMENT_PENDING:
                await self._settle_payment(order)
            case State.PAYMENT_FAILED:
                await self.cancel(order.order_id, reason=PAYMENT_FAILED, version=order.version)
            case _:
                raise AssertionError(f"an order that is {order.state} is never due")

    async def reap(self, limit: int = 100) -> int:
        """Settles orders that are past their time; returns how many were tried. One that fails is tried again later."""
        due = await self._store.due(limit)
        await asyncio.gather(*(self._reap(order) for order in due))
        return len(due)

    async def _reap(self, order: Order) -> None:
        with tracing.span("reap order", attributes={tracing.ORDER_ID: order.order_id}):
            try:
                await self.settle(order)
            except VersionStale:
                return
            except Exception as error:
                _log.warning("an overdue order couldn't be settled yet", order_id=order.order_id, error=type(error).__name__)
                await self._store.postpone(order.order_id, _RETRY_AFTER)

    async def _settle_payment(self, order: Order) -> None:
        """Payments are asked by order: what became of a payment is never assumed."""
        try:
            answer = await self._payments.GetPayment(payments_service_pb2.GetPaymentRequest(order_id=order.order_id))
        except grpc.aio.AioRpcError as error:
            if reason_of(error) != "PAYMENT_NOT_FOUND":
                raise
        else:
            if paid := _PAID.get(answer.payment.state):
                await self.confirm(order.order_id, paid)
                return
            if answer.payment.state == _PAYMENT.FAILED:
                await self.fail_payment(order.order_id, answer.payment.failure_reason)
                return
            if answer.payment.state in _UNDER_WAY and order.due_at != (await self.await_payment(order.order_id)).due_at:
                return
        await self.cancel(order.order_id, reason=EXPIRED, version=order.version)

    async def _confirm(self, order_id: str, decide: Decide) -> Order:
        async with self._cancelled_without_stock(order_id):
            await self._inventory.CommitReservation(inventory_pb2.CommitReservationRequest(order_id=order_id))
        return await self._store.change(order_id, decide)

    @asynccontextmanager
    async def _cancelled_without_stock(self, order_id: str) -> AsyncGenerator[None]:
        """Around a call of inventory: where that says that the stock is gone, the order is cancelled before anybody hears of it."""
        try:
            yield
        except grpc.aio.AioRpcError as error:
            if reason_of(error) in _STOCK_IS_GONE:
                await self.cancel(order_id, reason=OUT_OF_STOCK)
            raise

    async def _give_back(self, order: Order) -> Order:
        """Stock and payment of a cancelled order; both calls are idempotent and final, so a late reserve or payment fails."""
        payment: tuple[str, int] = ("", 0)
        if order.is_submitted:
            answer = await self._payments.VoidPayment(payments_service_pb2.VoidPaymentRequest(order_id=order.order_id))
            payment = _PAYMENT.State.Name(answer.payment.state), answer.payment.version
        await self._inventory.ReturnReservation(inventory_pb2.ReturnReservationRequest(order_id=order.order_id))
        return await self._store.change(order.order_id, lambda order, now: cancelled(order, *payment, at=now))
