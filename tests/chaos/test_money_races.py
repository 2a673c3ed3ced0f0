"""Rivals over one order's money: each interleaving in both orders.

A webhook that overtakes the answer to the call that caused it is shown in unit/payments/test_service_webhooks.py, and behind the edge in
flow/edge/test_pay_webhooks.py; a payment that comes long after its order has ended, in flow/edge/test_pay_cancelled.py. A reservation
that expires before its capture is heard of is shown in test_prepaid.py and test_regressions.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from bazaar.inventory.v1.inventory_service_pb2_grpc import InventoryServiceStub
from bazaar.orders.v1 import orders_pb2, orders_service_pb2
from bazaar.payments.v1 import payments_pb2
from bazaar.payments.v1.payments_service_pb2_grpc import PaymentsServiceStub
from services.kit.database import Database
from services.orders.events import announcements
from services.orders.settlement import Settlement
from services.orders.store import OrderStore
from tests.chaos.conftest import Victim
from tests.chaos.steps import bus_away, order_id_of, payment_of, reached, states, told
from tests.chaos.stops import Side
from tests.shop import Customer, Shop, eventually

State = orders_pb2.Order.State


@pytest.fixture
async def sku(shop: Shop) -> str:
    return await shop.stocked(5)


@pytest.fixture
async def orders(shop: Shop) -> AsyncIterator[OrderStore]:
    """What a reaper of our own works on."""
    database = Database(shop.servers.database("orders"))
    await database.open()
    yield OrderStore(database, announcements)
    await database.close()


class PaidMeanwhile:
    """Payments, where something happens between what GetPayment says and its caller's hearing of it."""

    def __init__(self, payments: Any, meanwhile: Callable[[], Awaitable[None]]) -> None:
        self._payments = payments
        self._meanwhile = meanwhile

    def __getattr__(self, method: str) -> Any:
        return getattr(self._payments, method)

    async def GetPayment(self, request: Any) -> Any:
        answer = await self._payments.GetPayment(request)
        await self._meanwhile()
        return answer


async def pay(shop: Shop, placed: Any) -> None:
    """The customer pays; until payments have heard of it."""
    assert shop.sandbox.pay(placed.payment_link) == 303
    await eventually(lambda: payment_of(shop, placed.order.order_id), "CAPTURED")


async def run_out_of_time(shop: Shop, order_id: str) -> None:
    """The customer's time to pay is over, as if the order was a quarter of an hour older; no reaper but ours may see it yet."""
    older = "UPDATE orders SET created_at = created_at - interval '16 minutes', due_at = now() + interval '1 hour' WHERE order_id = %s"
    await shop.execute("orders", older, order_id)


def reaper(shop: Shop, orders: OrderStore, meanwhile: Callable[[], Awaitable[None]]) -> Settlement:
    """One that is overtaken after it has asked for the payment."""
    payments = shop.stub(PaymentsServiceStub, caller="orders")
    return Settlement(orders, shop.stub(InventoryServiceStub, caller="orders"), PaidMeanwhile(payments, meanwhile))  # type: ignore[arg-type]


async def test_a_customer_who_pays_while_the_order_is_being_cancelled_is_paid_back(shop: Shop, victim: Victim, buyer: Customer, sku: str):
    placed = await shop.place(buyer, (sku, 2))
    order_id = placed.order.order_id
    stop = victim.stops.at("payments.VoidPayment", "before")
    cancelling = asyncio.create_task(victim.cancel(buyer, order_id))
    await reached(stop)

    # With the bus, orders might hear of the payment first, and pay it back before it is voided.
    async with bus_away(shop):
        await pay(shop, placed)
        stop.released.set()
        await cancelling

    await eventually(lambda: shop.stands(buyer, order_id), ("CANCELLED", "REFUNDED"))
    assert shop.sandbox.entries(order_id) == ["CAPTURED", "REFUNDED"]
    assert await shop.balance(sku) == (5, 0)


async def test_a_customer_who_cancels_before_orders_hear_of_the_payment_is_paid_back(shop: Shop, buyer: Customer, sku: str):
    placed = await shop.place(buyer, (sku, 2))
    order_id = placed.order.order_id
    async with bus_away(shop):
        await pay(shop, placed)
        cancelled = await shop.cancel(buyer, order_id)
        assert State.Name(cancelled.state) == "CANCELLED"

    await eventually(lambda: shop.stands(buyer, order_id), ("CANCELLED", "REFUNDED"), seconds=30)
    await eventually(lambda: told(shop, order_id), ["OrderCreated", "OrderCancelling", "OrderCancelled"])
    assert shop.sandbox.entries(order_id) == ["CAPTURED", "REFUNDED"]
    assert await shop.balance(sku) == (5, 0)


@pytest.mark.parametrize("side", ["before", "after"])
async def test_an_order_that_is_cancelled_twice_at_once_is_paid_back_once(
    shop: Shop, victim: Victim, buyer: Customer, sku: str, side: Side
):
    placed = await shop.place(buyer, (sku, 2))
    order_id = placed.order.order_id
    await pay(shop, placed)
    await eventually(lambda: states(shop, buyer), ["CONFIRMED"])
    stop = victim.stops.at("payments.VoidPayment", side)
    first = asyncio.create_task(victim.cancel(buyer, order_id))
    await reached(stop)

    second = await shop.cancel(buyer, order_id)
    stop.released.set()

    assert [State.Name((await first).state), State.Name(second.state)] == ["CANCELLED", "CANCELLED"]
    await eventually(lambda: shop.stands(buyer, order_id), ("CANCELLED", "REFUNDED"))
    assert shop.sandbox.entries(order_id) == ["CAPTURED", "REFUNDED"]
    await eventually(lambda: told(shop, order_id), ["OrderCreated", "OrderPlaced", "OrderCancelling", "OrderCancelled"])
    assert await shop.balance(sku) == (5, 0)


@pytest.mark.parametrize("side", ["before", "after"])
async def test_an_order_that_is_confirmed_twice_at_once_is_placed_once(shop: Shop, victim: Victim, buyer: Customer, sku: str, side: Side):
    stop = victim.stops.at("inventory.CommitReservation", side)
    placing = asyncio.create_task(victim.order(buyer, (sku, 2)))
    await reached(stop)
    ask = orders_service_pb2.ConfirmOrderRequest(order_id=await order_id_of(shop, buyer), payment_state=payments_pb2.Payment.ACCEPTED)

    rival = await shop.orders(buyer.principal, caller="checkout").ConfirmOrder(ask)
    stop.released.set()

    assert await placing == rival.order
    assert State.Name(rival.order.state) == "CONFIRMED"
    await eventually(lambda: told(shop, ask.order_id), ["OrderCreated", "OrderPlaced"])
    assert await shop.balance(sku) == (3, 0)


async def test_a_capture_that_orders_hear_of_before_the_reaper_acts_is_kept(shop: Shop, orders: OrderStore, buyer: Customer, sku: str):
    placed = await shop.place(buyer, (sku, 2))
    order_id = placed.order.order_id
    await run_out_of_time(shop, order_id)

    async def paid_and_heard() -> None:
        await pay(shop, placed)
        await eventually(lambda: states(shop, buyer), ["CONFIRMED"])

    await reaper(shop, orders, paid_and_heard).settle(await orders.read(order_id))

    assert await shop.stands(buyer, order_id) == ("CONFIRMED", "CAPTURED")
    assert shop.sandbox.entries(order_id) == ["CAPTURED"]
    assert await shop.balance(sku) == (3, 0)


async def test_a_capture_that_nobody_has_heard_of_when_the_reaper_acts_goes_back(shop: Shop, orders: OrderStore, buyer: Customer, sku: str):
    placed = await shop.place(buyer, (sku, 2))
    order_id = placed.order.order_id
    await run_out_of_time(shop, order_id)
    async with bus_away(shop):
        await reaper(shop, orders, lambda: pay(shop, placed)).settle(await orders.read(order_id))
        assert await states(shop, buyer) == ["CANCELLED"]

    await eventually(lambda: shop.stands(buyer, order_id), ("CANCELLED", "REFUNDED"), seconds=30)
    assert (await shop.read(buyer, order_id)).cancel_reason == "EXPIRED"
    assert shop.sandbox.entries(order_id) == ["CAPTURED", "REFUNDED"]
    assert await shop.balance(sku) == (5, 0)
