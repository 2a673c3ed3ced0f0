"""Orders that a customer pays for, while processes die, the bus is away and reservations expire."""

from __future__ import annotations

import asyncio

import pytest

from bazaar.orders.v1 import orders_pb2
from tests.chaos.conftest import Victim
from tests.chaos.steps import bus_away, die, expire_reservation, let_time_pass, order_id_of, payment_of, reached, states
from tests.chaos.stops import Side
from tests.serving import refused
from tests.shop import Customer, Shop, eventually

State = orders_pb2.Order.State
STEPS = ["payments.CreatePayment", "orders.AwaitPayment", "inventory.ExtendReservation"]
"""What follows once a prepaid order is submitted."""


@pytest.fixture
async def sku(shop: Shop) -> str:
    return await shop.stocked(5)


async def test_these_are_the_steps_of_an_order_that_waits_for_its_payment(victim: Victim, buyer: Customer, sku: str):
    await victim.place(buyer, (sku, 1))

    assert victim.stops.calls[-3:] == STEPS


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("side", ["before", "after"])
async def test_a_repeat_after_a_death_gives_the_link_of_the_same_order(
    shop: Shop, victim: Victim, buyer: Customer, sku: str, step: str, side: Side
):
    await die(victim, step, side, victim.place(buyer, (sku, 2), key="one"))

    placed = await shop.place(buyer, (sku, 2), key="one")
    shop.sandbox.pay(placed.payment_link)

    await eventually(lambda: states(shop, buyer), ["CONFIRMED"])
    assert shop.sandbox.entries(placed.order.order_id) == ["CAPTURED"]
    assert await shop.balance(sku) == (3, 0)


@pytest.mark.parametrize(("step", "side"), [(step, side) for step in STEPS for side in ("before", "after")][1:])
async def test_without_a_repeat_the_customer_still_has_the_time_to_pay(
    shop: Shop, victim: Victim, buyer: Customer, sku: str, step: str, side: Side
):
    await die(victim, step, side, victim.place(buyer, (sku, 2)))
    order_id = await order_id_of(shop, buyer)

    await let_time_pass(shop, buyer)
    await eventually(lambda: _is_given_time(shop, order_id), True)

    assert await states(shop, buyer) == ["PAYMENT_PENDING"]
    assert await shop.balance(sku) == (5, 2)


async def _is_given_time(shop: Shop, order_id: str) -> bool:
    ((is_so,),) = await shop.execute(
        "orders", "SELECT due_at = created_at + interval '15 minutes' FROM orders WHERE order_id = %s", order_id
    )
    return is_so


async def test_an_order_whose_payment_was_never_opened_is_cancelled(shop: Shop, victim: Victim, buyer: Customer, sku: str):
    await die(victim, "payments.CreatePayment", "before", victim.place(buyer, (sku, 2)))

    await let_time_pass(shop, buyer)

    await eventually(lambda: states(shop, buyer), ["CANCELLED"])
    assert await shop.balance(sku) == (5, 0)


async def test_a_cancellation_while_the_payment_is_opened_wins(shop: Shop, victim: Victim, buyer: Customer, sku: str):
    stop = victim.stops.at("orders.AwaitPayment", "before")
    placing = asyncio.create_task(victim.place(buyer, (sku, 2)))
    await reached(stop)
    order_id = await order_id_of(shop, buyer)

    await shop.cancel(buyer, order_id)
    stop.released.set()

    assert State.Name((await placing).order.state) == "CANCELLED"
    await eventually(lambda: _entries(shop, order_id), ["VOIDED"])
    assert await shop.balance(sku) == (5, 0)


async def test_a_cancellation_between_waiting_and_holding_wins(shop: Shop, victim: Victim, buyer: Customer, sku: str):
    stop = victim.stops.at("inventory.ExtendReservation", "before")
    placing = asyncio.create_task(refused(victim.place(buyer, (sku, 2))))
    await reached(stop)

    await shop.cancel(buyer, await order_id_of(shop, buyer))
    stop.released.set()

    assert (await placing)[1] == "ORDER_CANCELLED"
    assert await shop.balance(sku) == (5, 0)


async def _entries(shop: Shop, order_id: str) -> list[str]:
    return shop.sandbox.entries(order_id)


async def test_a_bus_that_is_away_until_the_reservation_has_expired_costs_nobody_a_paid_item(shop: Shop, buyer: Customer, sku: str):
    placed = await shop.place(buyer, (sku, 2))
    order_id = placed.order.order_id
    async with bus_away(shop):
        shop.sandbox.pay(placed.payment_link)
        await eventually(lambda: payment_of(shop, order_id), "CAPTURED")
        await expire_reservation(shop, order_id)
        assert await states(shop, buyer) == ["PAYMENT_PENDING"]

    await eventually(lambda: shop.stands(buyer, order_id), ("CONFIRMED", "CAPTURED"), seconds=30)
    assert await shop.balance(sku) == (3, 0)


async def test_the_reaper_confirms_what_is_paid_while_the_bus_is_away(shop: Shop, buyer: Customer, sku: str):
    placed = await shop.place(buyer, (sku, 2))
    async with bus_away(shop):
        shop.sandbox.pay(placed.payment_link)
        await eventually(lambda: payment_of(shop, placed.order.order_id), "CAPTURED")
        await let_time_pass(shop, buyer)
        await eventually(lambda: states(shop, buyer), ["CONFIRMED"])
