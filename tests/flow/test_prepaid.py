"""What orders make of what payments tell, on the whole shop; how it looks from outside is in edge/test_pay*.py."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from bazaar.checkout.v1 import checkout_service_pb2
from bazaar.payments.v1 import payments_pb2
from bazaar.payments.v1 import payments_service_pb2 as pb
from bazaar.payments.v1.payments_service_pb2_grpc import PaymentsServiceStub
from bazaar.type.v1.money_pb2 import Money
from services.kit.events import event_bus
from services.kit.events.port import EventBus
from tests.bus import books_of
from tests.serving import refused, user
from tests.shop import Customer, Shop, eventually


@pytest.fixture(scope="module")
async def bus(shop: Shop) -> AsyncIterator[EventBus]:
    bus = event_bus(shop.servers.events)
    await bus.open()
    yield bus
    await bus.close()


async def test_what_payments_told_may_come_again_in_any_order(shop: Shop, bus: EventBus, buyer: Customer):
    sku = await shop.stocked(9)
    card = {"payment_method": payments_pb2.Payment.CARD}
    kept, given_up = await shop.place(buyer, (sku, 1), **card), await shop.place(buyer, (sku, 2), **card)
    for placed in (kept, given_up):
        shop.sandbox.pay(placed.payment_link)
        await eventually(lambda placed=placed: shop.stands(buyer, placed.order.order_id), ("CONFIRMED", "CAPTURED"))
    await shop.cancel(buyer, given_up.order.order_id)
    await eventually(lambda: shop.stands(buyer, given_up.order.order_id), ("CANCELLED", "REFUNDED"))
    before = [await shop.read(buyer, placed.order.order_id) for placed in (kept, given_up)]

    ids = {order.order_id for order in before}
    events = [event for event in await books_of(shop.servers.events).told("payments") if event.key in ids]
    await bus.publish(events)
    await bus.publish(events[::-1])
    assert await shop.violations() == []

    assert sorted(event.type.rpartition(".Payment")[2] for event in events) == [
        *("Authorized", "Authorized", "Captured", "Captured", "Initiated", "Initiated"),
        *("Refunded", "Refunding"),
    ]
    assert [await shop.read(buyer, order.order_id) for order in before] == before
    assert await shop.balance(sku) == (8, 0)


async def test_money_for_an_order_that_never_was_goes_back(shop: Shop):
    order_id, checkout = str(uuid4()), shop.stub(PaymentsServiceStub, user(str(uuid4())), caller="checkout")
    ask = pb.CreatePaymentRequest(order_id=order_id, method=payments_pb2.Payment.UPI, amount=Money(currency_code="INR", minor_units=5))

    shop.sandbox.pay((await checkout.CreatePayment(ask)).payment.payment_link)

    await eventually(lambda: _entries(shop, order_id), ["CAPTURED", "REFUNDED"])


async def _entries(shop: Shop, order_id: str) -> list[str]:
    return shop.sandbox.entries(order_id)


async def test_a_payment_and_the_confirmation_that_follows_are_one_change(shop: Shop, buyer: Customer):
    sku = await shop.stocked(3)
    placed = await shop.place(buyer, (sku, 1))
    shop.sandbox.pay(placed.payment_link)
    await eventually(lambda: shop.stands(buyer, placed.order.order_id), ("CONFIRMED", "CAPTURED"))

    versions = "SELECT version, payment_version FROM orders WHERE order_id = %s"
    assert await shop.execute("orders", versions, placed.order.order_id) == [(placed.order.version + 1, 2)]


async def test_the_stock_is_held_for_as_long_as_the_customer_may_pay(shop: Shop, buyer: Customer):
    sku = await shop.stocked(3)
    order = (await shop.place(buyer, (sku, 1))).order

    ((held,),) = await shop.execute("inventory", "SELECT expires_at FROM reservations WHERE order_id = %s", order.order_id)
    assert (order.due_time.ToDatetime() - order.create_time.ToDatetime()).total_seconds() == 15 * 60
    assert 30 < held.timestamp() - order.due_time.ToDatetime(held.tzinfo).timestamp() < 90


async def test_a_payment_link_is_nobody_elses(shop: Shop, buyer: Customer, other: Customer):
    sku = await shop.stocked(1)
    placed = await shop.place(buyer, (sku, 1))
    ask = checkout_service_pb2.GetPaymentLinkRequest(order_id=placed.order.order_id)

    assert (await shop.checkout(buyer.principal).GetPaymentLink(ask)).payment_link == placed.payment_link
    assert (await refused(shop.checkout(other.principal).GetPaymentLink(ask)))[:2] == ("NOT_FOUND", "ORDER_NOT_FOUND")
