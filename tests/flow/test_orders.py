"""Orders through checkout, on the whole shop."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from grpc.aio import AioRpcError

from bazaar.orders.v1 import orders_pb2, orders_service_pb2
from bazaar.payments.v1 import payments_pb2
from bazaar.type.v1 import money_pb2
from services.kit.ids import uuid7
from tests.serving import details_of, refused
from tests.shop import Customer, Shop, category_of, eventually

State = orders_pb2.Order.State


async def test_an_order_of_lines_is_confirmed_with_its_stock_committed(shop: Shop, buyer: Customer):
    sku = await shop.stocked(5, price=1250)

    order = await shop.order(buyer, (sku, 2))

    assert State.Name(order.state) == "CONFIRMED"
    assert (order.total.currency_code, order.subtotal.minor_units) == ("USD", 2500)
    assert await shop.balance(sku) == (3, 0)


async def test_the_timeline_shows_every_state_once(shop: Shop, buyer: Customer):
    sku = await shop.stocked(1)

    order = await shop.order(buyer, (sku, 1))

    assert [State.Name(entry.state) for entry in order.timeline] == ["CREATED", "PAYMENT_PENDING", "CONFIRMED"]


async def test_an_order_from_a_cart_empties_it(shop: Shop, buyer: Customer):
    sku = await shop.stocked(5)
    cart_id = await shop.cart_of(buyer, (sku, 2))

    await shop.order(buyer, cart_id=cart_id)

    await eventually(lambda: shop.units_in(buyer, cart_id), 0)


async def test_an_empty_cart_is_refused(shop: Shop, buyer: Customer):
    cart_id = await shop.cart_of(buyer)

    assert (await refused(shop.order(buyer, cart_id=cart_id)))[:2] == ("FAILED_PRECONDITION", "CART_EMPTY")


async def test_fifty_units_go_to_exactly_fifty_of_two_hundred_buyers(shop: Shop):
    sku, buyers = await shop.stocked(50), [await shop.customer() for _ in range(20)]

    async def buy(number: int) -> str:
        try:
            return State.Name((await shop.order_at_last(buyers[number % 20], (sku, 1), key=f"rush-{number}")).state)
        except AioRpcError as error:
            return details_of(error)[1]

    results = await asyncio.gather(*(buy(number) for number in range(200)))

    assert Counter(results) == {"CONFIRMED": 50, "OUT_OF_STOCK": 150}
    assert await shop.balance(sku) == (0, 0)


async def test_a_repeat_with_the_same_key_answers_the_same_order(shop: Shop, buyer: Customer):
    sku = await shop.stocked(5)

    first = await shop.order(buyer, (sku, 1), key="once")
    second = await shop.order(buyer, (sku, 1), key="once")

    assert second == first
    assert await shop.balance(sku) == (4, 0)


async def test_rivals_with_one_key_place_one_order(shop: Shop, buyer: Customer):
    sku = await shop.stocked(50)

    orders = await asyncio.gather(*(shop.order(buyer, (sku, 1), key="rivals") for _ in range(20)))

    assert len({order.order_id for order in orders}) == 1
    assert await shop.balance(sku) == (49, 0)


async def test_the_same_key_with_another_body_is_refused(shop: Shop, buyer: Customer):
    sku = await shop.stocked(5)
    await shop.order(buyer, (sku, 1), key="used")

    assert (await refused(shop.order(buyer, (sku, 2), key="used")))[:2] == ("INVALID_ARGUMENT", "REQUEST_ID_REUSED")
    assert await shop.balance(sku) == (4, 0)


async def test_an_order_that_failed_is_shown_to_nobody(shop: Shop):
    sku, buyer = await shop.stocked(1), await shop.customer()
    await refused(shop.order(buyer, (sku, 2)))

    orders = await shop.orders(buyer.principal).ListOrders(orders_service_pb2.ListOrdersRequest())

    assert list(orders.orders) == []


async def test_another_total_than_expected_is_refused_with_the_new_quote(shop: Shop, buyer: Customer):
    sku = await shop.stocked(5, price=1000)

    code, reason, metadata = await refused(shop.order(buyer, (sku, 1), expected_total=money_pb2.Money(currency_code="USD", minor_units=1)))

    assert (code, reason, metadata["expected"]) == ("FAILED_PRECONDITION", "PRICE_CHANGED", "1 USD")
    assert await shop.balance(sku) == (5, 0)


@pytest.mark.parametrize("method", ["NET_BANKING", "WALLET", "PAY_LATER"])
async def test_methods_that_no_gateway_takes_are_refused(shop: Shop, buyer: Customer, method: str):
    sku = await shop.stocked(1)

    code, reason, metadata = await refused(shop.order(buyer, (sku, 1), payment_method=payments_pb2.Payment.Method.Value(method)))

    assert (code, reason, metadata["method"]) == ("INVALID_ARGUMENT", "PAYMENT_METHOD_UNSUPPORTED", method)
    assert await shop.balance(sku) == (1, 0)


async def test_a_coupon_is_refused_for_now(shop: Shop, buyer: Customer):
    sku = await shop.stocked(1)

    assert (await refused(shop.order(buyer, (sku, 1), coupon_code="SALE10")))[:2] == ("INVALID_ARGUMENT", "COUPON_INVALID")


async def test_an_unknown_sku_is_refused(shop: Shop, buyer: Customer):

    assert (await refused(shop.order(buyer, ("no-such-thing", 1))))[:2] == ("NOT_FOUND", "SKU_NOT_FOUND")


@pytest.mark.parametrize("quantity", [0, -1, 1_000_000_000])
async def test_a_quantity_out_of_bounds_is_refused(shop: Shop, buyer: Customer, quantity: int):
    sku = await shop.stocked(1)

    assert (await refused(shop.order(buyer, (sku, quantity))))[:2] == ("INVALID_ARGUMENT", "VALIDATION_FAILED")


async def test_somebody_elses_address_is_not_found(shop: Shop, buyer: Customer, other: Customer):
    sku = await shop.stocked(1)

    assert (await refused(shop.order(buyer, (sku, 1), address_id=other.address_id)))[:2] == ("NOT_FOUND", "ADDRESS_NOT_FOUND")


async def test_somebody_elses_cart_is_not_found(shop: Shop, buyer: Customer, other: Customer):
    cart_id = await shop.cart_of(other)

    assert (await refused(shop.order(buyer, cart_id=cart_id)))[:2] == ("NOT_FOUND", "CART_NOT_FOUND")


async def test_somebody_elses_order_is_not_found(shop: Shop, buyer: Customer, other: Customer):
    sku = await shop.stocked(1)
    order = await shop.order(buyer, (sku, 1))

    assert (await refused(shop.read(other, order.order_id)))[:2] == ("NOT_FOUND", "ORDER_NOT_FOUND")


async def test_an_order_that_never_was_is_not_found(shop: Shop, buyer: Customer):
    for order_id in (uuid7(), "00000000-0000-4000-8000-000000000000"):
        assert (await refused(shop.read(buyer, order_id)))[:2] == ("NOT_FOUND", "ORDER_NOT_FOUND")


async def test_a_cancelled_order_gives_its_stock_back(shop: Shop, buyer: Customer):
    sku = await shop.stocked(5)
    order = await shop.order(buyer, (sku, 2))

    cancelled = await shop.cancel(buyer, order.order_id)

    assert (State.Name(cancelled.state), cancelled.cancel_reason) == ("CANCELLED", "CUSTOMER")
    assert payments_pb2.Payment.State.Name(cancelled.payment_state) == "VOIDED"
    assert await shop.balance(sku) == (5, 0)


async def test_cancelling_twice_changes_nothing(shop: Shop, buyer: Customer):
    sku = await shop.stocked(5)
    order = await shop.order(buyer, (sku, 2))

    first = await shop.cancel(buyer, order.order_id)

    assert await shop.cancel(buyer, order.order_id) == first
    assert await shop.balance(sku) == (5, 0)


async def test_somebody_elses_order_cannot_be_cancelled(shop: Shop, buyer: Customer, other: Customer):
    sku = await shop.stocked(5)
    order = await shop.order(buyer, (sku, 2))

    assert (await refused(shop.cancel(other, order.order_id)))[1] == "ORDER_NOT_FOUND"
    assert await shop.balance(sku) == (3, 0)


async def test_orders_are_listed_newest_first_page_by_page(shop: Shop):
    sku, buyer = await shop.stocked(5), await shop.customer()
    placed = [(await shop.order(buyer, (sku, 1))).order_id for _ in range(3)]
    orders = shop.orders(buyer.principal)

    first = await orders.ListOrders(orders_service_pb2.ListOrdersRequest(page_size=2))
    second = await orders.ListOrders(orders_service_pb2.ListOrdersRequest(page_size=2, page_token=first.next_page_token))

    assert [order.order_id for order in (*first.orders, *second.orders)] == placed[::-1]
    assert second.next_page_token == ""


async def test_a_page_token_of_another_user_is_refused(shop: Shop):
    sku, buyer, other = await shop.stocked(5), await shop.customer(), await shop.customer()
    for _ in range(2):
        await shop.order(buyer, (sku, 1))
    page = await shop.orders(buyer.principal).ListOrders(orders_service_pb2.ListOrdersRequest(page_size=1))
    ask = orders_service_pb2.ListOrdersRequest(page_size=1, page_token=page.next_page_token)

    assert (await refused(shop.orders(other.principal).ListOrders(ask)))[:2] == ("INVALID_ARGUMENT", "PAGE_TOKEN_INVALID")


async def test_a_watcher_sees_the_order_and_its_end(shop: Shop, buyer: Customer):
    sku = await shop.stocked(5)
    order = await shop.order(buyer, (sku, 1))
    stream = shop.orders(buyer.principal).WatchOrder(orders_service_pb2.WatchOrderRequest(order_id=order.order_id))

    seen = [await anext(aiter(stream))]
    await shop.cancel(buyer, order.order_id)
    seen += [update async for update in stream]

    assert (State.Name(seen[0].order.state), seen[0].is_last) == ("CONFIRMED", False)
    assert (State.Name(seen[-1].order.state), seen[-1].is_last) == ("CANCELLED", True)


async def test_an_internal_method_is_refused_from_outside(shop: Shop, buyer: Customer):
    ask = orders_service_pb2.ConfirmOrderRequest(order_id=uuid7(), payment_state=payments_pb2.Payment.CAPTURED)

    assert (await refused(shop.orders(buyer.principal).ConfirmOrder(ask)))[:2] == ("PERMISSION_DENIED", "METHOD_NOT_GRANTED")


async def test_an_order_shows_in_the_top_of_its_category_and_every_ancestor(shop: Shop, buyer: Customer):
    path = ("Toys " + uuid7()[-6:], "Puzzles", "Wooden")
    sku = await shop.stocked(5, price=700, path=path)
    await shop.order(buyer, (sku, 2))
    root = category_of(path[:1])

    for category in (root, f"{root}.puzzles", f"{root}.puzzles.wooden"):
        await eventually(lambda category=category: shop.top(category), [(sku, 1, 2, 1400)])


async def test_a_cancelled_order_leaves_the_top(shop: Shop, buyer: Customer):
    path = ("Books " + uuid7()[-6:],)
    sku = await shop.stocked(5, path=path)
    order = await shop.order(buyer, (sku, 2))
    root = category_of(path[:1])
    await eventually(lambda: shop.top(root), [(sku, 1, 2, 2000)])

    await shop.cancel(buyer, order.order_id)

    await eventually(lambda: shop.top(root), [])
