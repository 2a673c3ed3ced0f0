"""Rivals over one cart, one last unit, and a checkout that is slower than the reaper: each interleaving in both orders."""

from __future__ import annotations

import asyncio

import pytest
from grpc.aio import AioRpcError

from bazaar.orders.v1 import orders_pb2
from tests.chaos.conftest import Victim
from tests.chaos.steps import let_time_pass, order_id_of, reached, states, told
from tests.chaos.stops import Side
from tests.serving import details_of, refused
from tests.shop import Customer, Shop, eventually

State = orders_pb2.Order.State
READ = "cart.GetCheckoutLines"


@pytest.fixture
async def sku(shop: Shop) -> str:
    return await shop.stocked(5)


@pytest.mark.parametrize(("side", "bought", "left"), [("before", 3, 0), ("after", 2, 1)])
async def test_what_another_device_adds_is_bought_or_stays_and_never_both(
    shop: Shop, victim: Victim, buyer: Customer, sku: str, side: Side, bought: int, left: int
):
    cart_id = await shop.cart_of(buyer, (sku, 2))
    stop = victim.stops.at(READ, side)
    placing = asyncio.create_task(victim.order(buyer, cart_id=cart_id, key="one"))
    await reached(stop)

    await shop.add(buyer, cart_id, sku, 1)
    stop.released.set()

    assert [line.quantity for line in (await placing).lines] == [bought]
    await eventually(lambda: shop.units_in(buyer, cart_id), left)
    assert await shop.balance(sku) == (5 - bought, 0)


async def test_a_second_key_for_a_cart_that_has_been_ordered_finds_it_empty(shop: Shop, victim: Victim, buyer: Customer, sku: str):
    cart_id = await shop.cart_of(buyer, (sku, 2))
    stop = victim.stops.at(READ, "before")
    second = asyncio.create_task(refused(victim.order(buyer, cart_id=cart_id, key="two")))
    await reached(stop)

    await shop.order(buyer, cart_id=cart_id, key="one")
    await eventually(lambda: shop.units_in(buyer, cart_id), 0)
    stop.released.set()

    assert (await second)[1] == "CART_EMPTY"
    assert sorted(await states(shop, buyer)) == ["CANCELLED", "CONFIRMED"]
    assert await shop.balance(sku) == (3, 0)


async def test_two_keys_that_have_both_read_the_cart_are_two_orders_of_it(shop: Shop, victim: Victim, buyer: Customer, sku: str):
    cart_id = await shop.cart_of(buyer, (sku, 2))
    stop = victim.stops.at(READ, "after")
    second = asyncio.create_task(victim.order(buyer, cart_id=cart_id, key="two"))
    await reached(stop)

    first = await shop.order(buyer, cart_id=cart_id, key="one")
    stop.released.set()

    assert (await second).order_id != first.order_id
    assert await states(shop, buyer) == ["CONFIRMED", "CONFIRMED"]
    await eventually(lambda: shop.units_in(buyer, cart_id), 0)
    assert await shop.balance(sku) == (1, 0)


@pytest.mark.parametrize(("side", "winner"), [("before", "other"), ("after", "buyer")])
async def test_the_last_unit_goes_to_whose_reservation_came_first(
    shop: Shop, victim: Victim, buyer: Customer, other: Customer, side: Side, winner: str
):
    sku = await shop.stocked(1)
    stop = victim.stops.at("inventory.Reserve", side)
    slow = asyncio.create_task(said(victim, buyer, sku))
    await reached(stop)

    fast = await said(shop, other, sku)
    stop.released.set()

    assert {"buyer": await slow, "other": fast} == {"buyer": "OUT_OF_STOCK", "other": "OUT_OF_STOCK"} | {winner: "CONFIRMED"}
    assert await shop.balance(sku) == (0, 0)


async def said(shop: Shop, buyer: Customer, sku: str) -> str:
    """The order's state, or why there is none."""
    try:
        return State.Name((await shop.order(buyer, (sku, 1))).state)
    except AioRpcError as error:
        return details_of(error)[1]


async def test_a_checkout_that_the_reaper_overtook_before_its_payment_has_no_order(shop: Shop, victim: Victim, buyer: Customer, sku: str):
    stop = victim.stops.at("payments.CreatePayment", "before")
    placing = asyncio.create_task(refused(victim.order(buyer, (sku, 2))))
    await reached(stop)

    await let_time_pass(shop, buyer)
    await eventually(lambda: states(shop, buyer), ["CANCELLED"])
    stop.released.set()

    assert (await placing)[1] == "ORDER_CANCELLED"
    assert await shop.balance(sku) == (5, 0)


@pytest.mark.parametrize(("step", "side"), [("payments.CreatePayment", "after"), ("orders.ConfirmOrder", "before")])
async def test_a_checkout_that_the_reaper_overtook_after_its_payment_has_the_reapers_order(
    shop: Shop, victim: Victim, buyer: Customer, sku: str, step: str, side: Side
):
    stop = victim.stops.at(step, side)
    placing = asyncio.create_task(victim.order(buyer, (sku, 2)))
    await reached(stop)

    await let_time_pass(shop, buyer)
    await eventually(lambda: states(shop, buyer), ["CONFIRMED"])
    stop.released.set()

    assert State.Name((await placing).state) == "CONFIRMED"
    order_id = await order_id_of(shop, buyer)
    await eventually(lambda: told(shop, order_id), ["OrderCreated", "OrderPlaced"])
    assert await shop.balance(sku) == (3, 0)
