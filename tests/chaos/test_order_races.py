"""Rivals at one order, each stopped between two named steps while the other goes through."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from bazaar.orders.v1 import orders_pb2
from services.checkout import saga
from tests.chaos.conftest import Victim
from tests.chaos.steps import die, expire_claims, let_time_pass, order_id_of, reached, states
from tests.serving import refused
from tests.shop import Customer, Shop, eventually

State = orders_pb2.Order.State


@pytest.fixture
async def sku(shop: Shop) -> str:
    return await shop.stocked(5)


async def test_a_cancellation_between_commit_and_confirmation_wins(shop: Shop, victim: Victim, buyer: Customer, sku: str):
    stop = victim.stops.at("inventory.CommitReservation", "after")
    placing = asyncio.create_task(refused(victim.order(buyer, (sku, 2))))
    await reached(stop)

    cancelled = await shop.cancel(buyer, await order_id_of(shop, buyer))
    stop.released.set()

    assert (await placing)[1] == "ORDER_CANCELLED"
    assert (State.Name(cancelled.state), cancelled.HasField("confirm_time")) == ("CANCELLED", False)
    assert await shop.balance(sku) == (5, 0)


async def test_a_cancellation_before_the_commit_wins(shop: Shop, victim: Victim, buyer: Customer, sku: str):
    stop = victim.stops.at("inventory.CommitReservation", "before")
    placing = asyncio.create_task(refused(victim.order(buyer, (sku, 2))))
    await reached(stop)

    await shop.cancel(buyer, await order_id_of(shop, buyer))
    stop.released.set()

    assert (await placing)[1] == "ORDER_CANCELLED"
    assert await states(shop, buyer) == ["CANCELLED"]
    assert await shop.balance(sku) == (5, 0)


async def test_a_cancellation_before_the_payment_wins(shop: Shop, victim: Victim, buyer: Customer, sku: str):
    stop = victim.stops.at("payments.CreatePayment", "before")
    placing = asyncio.create_task(refused(victim.order(buyer, (sku, 2))))
    await reached(stop)

    await shop.cancel(buyer, await order_id_of(shop, buyer))
    stop.released.set()

    assert (await placing)[1] == "ORDER_CANCELLED"
    assert await shop.balance(sku) == (5, 0)


async def test_stock_committed_while_a_cancellation_is_under_way_goes_back(shop: Shop, victim: Victim, buyer: Customer, sku: str):
    confirming = victim.stops.at("orders.ConfirmOrder", "before")
    placing = asyncio.create_task(refused(victim.order(buyer, (sku, 2))))
    await reached(confirming)
    giving_back = victim.stops.at("inventory.ReturnReservation", "before")
    cancelling = asyncio.create_task(victim.cancel(buyer, await order_id_of(shop, buyer)))
    await reached(giving_back)

    confirming.released.set()
    assert (await placing)[1] == "ORDER_CANCELLED"
    assert await shop.balance(sku) == (3, 0)
    giving_back.released.set()

    assert State.Name((await cancelling).state) == "CANCELLED"
    assert await shop.balance(sku) == (5, 0)


async def test_a_cancellation_that_comes_after_the_confirmation_takes_the_order_back(shop: Shop, victim: Victim, buyer: Customer, sku: str):
    stop = victim.stops.at("orders.ConfirmOrder", "after")
    placing = asyncio.create_task(victim.order(buyer, (sku, 2)))
    await reached(stop)

    cancelled = await shop.cancel(buyer, await order_id_of(shop, buyer))
    stop.released.set()

    assert State.Name((await placing).state) == "CONFIRMED"
    assert (State.Name(cancelled.state), cancelled.HasField("confirm_time")) == ("CANCELLED", True)
    assert await shop.balance(sku) == (5, 0)


async def test_a_repeat_after_the_customer_cancelled_shows_that_order_and_places_no_other(shop: Shop, buyer: Customer, sku: str):
    order = await shop.order(buyer, (sku, 2), key="one")
    cancelled = await shop.cancel(buyer, order.order_id)

    assert await shop.order(buyer, (sku, 2), key="one") == cancelled
    assert await states(shop, buyer) == ["CANCELLED"]


async def test_a_cancellation_and_the_reaper_end_an_order_once(shop: Shop, victim: Victim, buyer: Customer, sku: str):
    order = await shop.order(buyer, (sku, 2))
    stop = victim.stops.at("inventory.ReturnReservation", "before")
    cancelling = asyncio.create_task(victim.cancel(buyer, order.order_id))
    await reached(stop)

    await let_time_pass(shop, buyer)
    await eventually(lambda: states(shop, buyer), ["CANCELLED"])
    stop.released.set()

    cancelled = await cancelling
    assert [State.Name(entry.state) for entry in cancelled.timeline] == [
        "CREATED",
        "PAYMENT_PENDING",
        "CONFIRMED",
        "CANCELLING",
        "CANCELLED",
    ]
    assert await shop.balance(sku) == (5, 0)


async def test_an_attempt_that_the_reaper_overtook_undoes_nothing_and_starts_again(shop: Shop, victim: Victim, buyer: Customer, sku: str):
    stop = victim.stops.at("orders.SubmitOrder", "before")
    placing = asyncio.create_task(victim.order(buyer, (sku, 2), key="one"))
    await reached(stop)

    await let_time_pass(shop, buyer)
    await eventually(lambda: states(shop, buyer), ["CANCELLED"])
    stop.released.set()

    assert State.Name((await placing).state) == "CONFIRMED"
    assert await states(shop, buyer) == ["CANCELLED", "CONFIRMED"]
    assert await shop.balance(sku) == (3, 0)


@pytest.mark.parametrize("step", ["inventory.Reserve", "orders.SubmitOrder"])
async def test_a_holder_whose_claim_expired_gets_the_new_holders_order(shop: Shop, victim: Victim, buyer: Customer, sku: str, step: str):
    stop = victim.stops.at(step, "before")
    stale = asyncio.create_task(victim.order(buyer, (sku, 2), key="one"))
    await reached(stop)
    await expire_claims(shop, buyer)

    order = await shop.order(buyer, (sku, 2), key="one")
    stop.released.set()

    assert await stale == order
    assert await states(shop, buyer) == ["CONFIRMED"]
    assert await shop.balance(sku) == (3, 0)


async def test_two_holders_in_the_middle_of_it_place_one_order(shop: Shop, victim: Victim, buyer: Customer, sku: str):
    first_stop = victim.stops.at("inventory.Reserve", "before")
    first = asyncio.create_task(victim.order(buyer, (sku, 2), key="one"))
    await reached(first_stop)
    await expire_claims(shop, buyer)
    second_stop = victim.stops.at("orders.SubmitOrder", "before")
    second = asyncio.create_task(victim.order(buyer, (sku, 2), key="one"))
    await reached(second_stop)

    first_stop.released.set()
    # The first one's submission is refused; it waits for the second one.
    await eventually(lambda: _calls(victim, "orders.SubmitOrder"), 2)
    assert await shop.balance(sku) == (5, 2)
    second_stop.released.set()

    assert await first == await second
    assert await states(shop, buyer) == ["CONFIRMED"]
    assert await shop.balance(sku) == (3, 0)


async def _calls(victim: Victim, call: str) -> int:
    return victim.stops.calls.count(call)


async def test_a_stale_holder_that_fails_does_not_undo_the_new_holders_work(
    shop: Shop, victim: Victim, buyer: Customer, sku: str, monkeypatch: pytest.MonkeyPatch
):
    stop = victim.stops.at("orders.SubmitOrder", "before")
    with monkeypatch.context() as patch:
        patch.setattr(saga, "SUBMIT_BUDGET", timedelta(seconds=1))
        stale = asyncio.create_task(refused(victim.order(buyer, (sku, 2), key="one")))
        await reached(stop)
    await expire_claims(shop, buyer)
    order = await shop.order(buyer, (sku, 2), key="one")

    assert (await stale)[1] == "DEADLINE_EXCEEDED"
    assert (await shop.read(buyer, order.order_id)) == order
    assert "orders.AbandonOrder" in victim.stops.calls
    assert await shop.balance(sku) == (3, 0)


async def test_what_an_earlier_attempt_reserved_is_given_up_when_the_cart_has_changed_since(
    shop: Shop, victim: Victim, buyer: Customer, sku: str
):
    cart_id = await shop.cart_of(buyer, (sku, 2))
    await die(victim, "inventory.Reserve", "after", victim.order(buyer, cart_id=cart_id, key="one"))
    await shop.put(buyer, cart_id, sku, 3)
    await expire_claims(shop, buyer)

    order = await shop.order(buyer, cart_id=cart_id, key="one")

    assert [line.quantity for line in order.lines] == [3]
    assert await states(shop, buyer) == ["CANCELLED", "CONFIRMED"]
    assert await shop.balance(sku) == (2, 0)


@pytest.mark.parametrize("step", ["orders.OpenOrder", "inventory.Reserve", "payments.CreatePayment"])
async def test_a_customer_who_hangs_up_in_the_middle_has_ordered_all_the_same(
    shop: Shop, victim: Victim, buyer: Customer, sku: str, step: str
):
    stop = victim.stops.at(step, "after")
    placing = asyncio.create_task(victim.order(buyer, (sku, 2)))
    await reached(stop)

    placing.cancel()
    await asyncio.wait([placing])
    stop.released.set()

    await eventually(lambda: states(shop, buyer), ["CONFIRMED"])
    assert await shop.balance(sku) == (3, 0)


async def test_a_customer_who_hangs_up_while_cancelling_has_cancelled_all_the_same(shop: Shop, victim: Victim, buyer: Customer, sku: str):
    order = await shop.order(buyer, (sku, 2))
    stop = victim.stops.at("payments.VoidPayment", "before")
    cancelling = asyncio.create_task(victim.cancel(buyer, order.order_id))
    await reached(stop)

    cancelling.cancel()
    await asyncio.wait([cancelling])
    stop.released.set()

    await eventually(lambda: states(shop, buyer), ["CANCELLED"])
    assert await shop.balance(sku) == (5, 0)
