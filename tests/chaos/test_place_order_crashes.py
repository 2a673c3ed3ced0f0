"""A process dies at any step of an order: a repeat in another process finishes it, and without a repeat the reaper does."""

from __future__ import annotations

import pytest

from bazaar.orders.v1 import orders_pb2
from bazaar.payments.v1 import payments_pb2
from services.checkout import methods
from services.payments import model
from services.payments.service import PaymentsServicer
from tests.chaos.conftest import Victim
from tests.chaos.steps import die, expire_claims, is_there, let_time_pass, states
from tests.chaos.stops import Side
from tests.serving import refused
from tests.shop import Customer, Shop, eventually

State = orders_pb2.Order.State
Method = payments_pb2.Payment.Method

STEPS = [
    "orders.OpenOrder",
    "cart.GetCheckoutLines",
    "users.GetAddress",
    "payments.ListMethods",
    "pricing.CreateQuote",
    "inventory.Reserve",
    "orders.SubmitOrder",
    "payments.CreatePayment",
    "orders.ConfirmOrder",
    "inventory.CommitReservation",
]
"""Every call of a healthy order from a cart, in the order they begin."""

REFUSED = [*STEPS[:6], "orders.AbandonOrder", "inventory.ReturnReservation"]
"""Every call of an order whose stock is not there."""

CANCELLED = ["payments.VoidPayment", "inventory.ReturnReservation"]
"""Every call of a cancellation."""

PAID_FROM = STEPS.index("payments.CreatePayment")
"""From its answer on, an order is finished rather than undone."""


@pytest.fixture(autouse=True)
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every order is as the first in its process: what is asked once a minute is asked for it."""
    monkeypatch.setattr(methods, "KEPT_SECONDS", 0.0)


def points(calls: list[str]) -> list[tuple[str, Side]]:
    sides: tuple[Side, Side] = ("before", "after")
    return [(call, side) for call in calls for side in sides]


async def test_these_are_the_steps_of_an_order(victim: Victim):
    sku, buyer = await victim.stocked(5), await victim.customer()
    cart_id = await victim.cart_of(buyer, (sku, 2))

    await victim.order(buyer, cart_id=cart_id)

    assert victim.stops.calls == STEPS


async def test_these_are_the_steps_of_a_refused_order(victim: Victim):
    sku, buyer = await victim.stocked(2), await victim.customer()
    cart_id = await victim.cart_of(buyer, (sku, 2))
    await victim.order(await victim.customer(), (sku, 1))
    victim.stops.calls.clear()

    assert (await refused(victim.order(buyer, cart_id=cart_id)))[1] == "OUT_OF_STOCK"

    assert victim.stops.calls == REFUSED


async def test_these_are_the_steps_of_a_cancellation(victim: Victim, buyer: Customer):
    sku = await victim.stocked(5)
    order = await victim.order(buyer, (sku, 2))
    victim.stops.calls.clear()

    await victim.cancel(buyer, order.order_id)

    assert victim.stops.calls == CANCELLED


@pytest.mark.parametrize(("step", "side"), points(STEPS))
async def test_a_repeat_in_another_process_places_one_order(shop: Shop, victim: Victim, step: str, side: Side):
    sku, buyer = await shop.stocked(5), await shop.customer()
    cart_id = await shop.cart_of(buyer, (sku, 2))
    await die(victim, step, side, victim.order(buyer, cart_id=cart_id, key="one"))
    await expire_claims(shop, buyer)

    order = await shop.order(buyer, cart_id=cart_id, key="one")

    assert State.Name(order.state) == "CONFIRMED"
    assert await states(shop, buyer) == ["CONFIRMED"]
    assert await shop.order(buyer, cart_id=cart_id, key="one") == order
    assert await shop.balance(sku) == (3, 0)


@pytest.mark.parametrize(("step", "side"), points(STEPS))
async def test_without_a_repeat_the_reaper_finishes_what_is_paid_and_undoes_the_rest(shop: Shop, victim: Victim, step: str, side: Side):
    sku, buyer = await shop.stocked(5), await shop.customer()
    cart_id = await shop.cart_of(buyer, (sku, 2))
    await die(victim, step, side, victim.order(buyer, cart_id=cart_id, key="one"))
    is_opened = (step, side) != (STEPS[0], "before")
    # It is opened beside the first steps: what was under way then is still to be committed.
    await eventually(lambda: is_there(shop, buyer), is_opened)

    await let_time_pass(shop, buyer)

    is_paid = points(STEPS).index((step, side)) > points(STEPS).index((STEPS[PAID_FROM], "before"))
    wanted, stock = ("CONFIRMED", (3, 0)) if is_paid else ("CANCELLED", (5, 0))
    await eventually(lambda: states(shop, buyer), [wanted] if is_opened else [])
    assert await shop.balance(sku) == stock


@pytest.mark.parametrize(("step", "side"), points(REFUSED[6:]))
async def test_an_attempt_that_dies_while_it_gives_up_leaves_its_key_good(shop: Shop, victim: Victim, step: str, side: Side):
    sku, buyer = await shop.stocked(1), await shop.customer()
    await die(victim, step, side, victim.order(buyer, (sku, 2), key="one"))
    await shop.receive(sku, 1)
    await expire_claims(shop, buyer)
    await let_time_pass(shop, buyer)

    order = await shop.order(buyer, (sku, 2), key="one")

    assert State.Name(order.state) == "CONFIRMED"
    assert sorted(await states(shop, buyer))[-1] == "CONFIRMED"
    assert (await states(shop, buyer)).count("CONFIRMED") == 1
    assert await shop.balance(sku) == (0, 0)


@pytest.mark.parametrize("is_repeated", [True, False])
@pytest.mark.parametrize(("step", "side"), points(CANCELLED))
async def test_a_cancellation_that_was_cut_off_is_finished(shop: Shop, victim: Victim, step: str, side: Side, is_repeated: bool):
    sku, buyer = await shop.stocked(5), await shop.customer()
    order = await shop.order(buyer, (sku, 2))
    await die(victim, step, side, victim.cancel(buyer, order.order_id))
    assert await states(shop, buyer) == ["CANCELLING"]

    if is_repeated:
        await shop.cancel(buyer, order.order_id)
    else:
        await let_time_pass(shop, buyer)

    await eventually(lambda: states(shop, buyer), ["CANCELLED"])
    assert await shop.balance(sku) == (5, 0)


async def test_an_order_by_a_method_that_was_given_up_meanwhile_is_refused_and_undone(
    shop: Shop, buyer: Customer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(methods, "KEPT_SECONDS", 60.0)
    sku = await shop.stocked(5)
    await shop.order(await shop.customer(), (sku, 1), payment_method=Method.CARD)
    monkeypatch.setattr(PaymentsServicer, "_methods", lambda _: [model.Method.COD])

    reason = (await refused(shop.order(buyer, (sku, 2), payment_method=Method.CARD)))[1]
    await let_time_pass(shop, buyer)

    assert reason == "PAYMENT_METHOD_UNSUPPORTED"
    await eventually(lambda: states(shop, buyer), ["CANCELLED"])
    assert await shop.balance(sku) == (5, 1)
