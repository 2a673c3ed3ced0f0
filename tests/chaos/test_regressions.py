"""Faults that other shops are known for, each under its own name: what happened there does not happen here.

Two lines of one SKU, the last unit and a connection lost at COMMIT are shown of the stock alone in flow/test_reserve_races.py; what
becomes of an event whose publisher dies is shown of the relay alone in unit/kit/test_relay.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from bazaar.orders.v1 import orders_pb2, orders_service_pb2
from bazaar.pricing.v1 import pricing_pb2, pricing_service_pb2, pricing_service_pb2_grpc
from bazaar.type.v1.money_pb2 import Money
from services.kit.database import Database
from tests.chaos.conftest import Victim
from tests.chaos.steps import bus_away, expire_reservation, order_id_of, payment_of, reached, states, told
from tests.serving import refused
from tests.shop import Customer, Shop, eventually
from tests.unit.rivals import meet

State = orders_pb2.Order.State

_LOCK = "SELECT 1 FROM balances WHERE sku = ANY(%s) ORDER BY sku FOR UPDATE"
_DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
_UNPUBLISHED = "SELECT count(*) FROM outbox WHERE subject = %s"


@pytest.fixture
async def stock(shop: Shop) -> AsyncIterator[Database]:
    """The database of inventory."""
    database = Database(shop.servers.database("inventory"))
    await database.open()
    yield database
    await database.close()


async def seen_by(shop: Shop, buyer: Customer) -> list[str]:
    """The orders that a customer is shown."""
    answer = await shop.orders(buyer.principal).ListOrders(orders_service_pb2.ListOrdersRequest())
    return [order.order_id for order in answer.orders]


async def test_no_order_shows_before_its_stock_is_reserved(shop: Shop, victim: Victim, buyer: Customer, other: Customer):
    """The order was made first, and stood there without stock when the reservation failed (medusa #16825)."""
    sku = await shop.stocked(2)
    stop = victim.stops.at("inventory.Reserve", "before")
    placing = asyncio.create_task(refused(victim.order(buyer, (sku, 2))))
    await reached(stop)
    order_id = await order_id_of(shop, buyer)
    assert (await refused(shop.read(buyer, order_id)))[1] == "ORDER_NOT_FOUND"

    await shop.order(other, (sku, 1))
    stop.released.set()

    assert (await placing)[1] == "OUT_OF_STOCK"
    assert (await seen_by(shop, buyer), await told(shop, order_id)) == ([], [])
    assert await states(shop, buyer) == ["CANCELLED"]
    assert await shop.balance(sku) == (1, 0)


async def test_two_lines_of_one_sku_are_one(shop: Shop, buyer: Customer):
    """Each line was checked by itself against the same stock, and both fitted (medusa #16502)."""
    sku = await shop.stocked(3)

    code, reason, metadata = await refused(shop.order(buyer, (sku, 2), (sku, 2)))

    assert (code, reason) == ("FAILED_PRECONDITION", "OUT_OF_STOCK")
    assert (metadata["wanted"], metadata["available"]) == ("4", "3")
    assert await shop.balance(sku) == (3, 0)


async def test_an_order_that_names_a_sku_twice_waits_neither_for_itself_nor_in_a_circle(
    shop: Shop, victim: Victim, buyer: Customer, other: Customer, stock: Database
):
    """A cart with one item on two lines asked for the same lock twice, and waited for itself (medusa, pull request 11403)."""
    cup, pen = await shop.stocked(10), await shop.stocked(10)
    forwards, backwards = shop.order(buyer, (cup, 1), (pen, 1), (cup, 1)), victim.order(other, (pen, 1), (cup, 1), (pen, 1))

    orders = await meet(stock, _LOCK, [[cup, pen]], forwards, backwards)

    assert [State.Name(order.state) for order in orders] == ["CONFIRMED", "CONFIRMED"]
    assert [await shop.balance(sku) for sku in (cup, pen)] == [(7, 0), (7, 0)]
    assert await shop.execute("inventory", _DEADLOCKS) == [(0,)]


async def test_two_orders_at_once_are_both_counted(shop: Shop, victim: Victim, buyer: Customer, other: Customer, stock: Database):
    """Both read what was allocated, added their own and wrote it back: one of them was lost (vendure #1738)."""
    sku = await shop.stocked(10)

    first, second = await meet(stock, _LOCK, [[sku]], shop.place(buyer, (sku, 2)), victim.place(other, (sku, 3)))

    assert await shop.balance(sku) == (10, 5)
    for placed in (first, second):
        shop.sandbox.pay(placed.payment_link)
    await eventually(lambda: shop.balance(sku), (5, 0))


async def test_a_paid_item_that_somebody_else_has_by_then_is_paid_back(shop: Shop, buyer: Customer, other: Customer):
    """The customer was charged, the stock was gone, and the money stayed with the shop (vendure #3065)."""
    sku = await shop.stocked(1)
    placed = await shop.place(buyer, (sku, 1))
    order_id = placed.order.order_id
    async with bus_away(shop):
        shop.sandbox.pay(placed.payment_link)
        await eventually(lambda: payment_of(shop, order_id), "CAPTURED")
        await expire_reservation(shop, order_id)
        assert State.Name((await shop.order(other, (sku, 1))).state) == "CONFIRMED"

    await eventually(lambda: shop.stands(buyer, order_id), ("CANCELLED", "REFUNDED"), seconds=30)
    assert (await shop.read(buyer, order_id)).cancel_reason == "OUT_OF_STOCK"
    assert shop.sandbox.entries(order_id) == ["CAPTURED", "REFUNDED"]
    assert await shop.balance(sku) == (0, 0)


async def test_who_wants_more_than_there_is_gets_nothing_rather_than_what_is_left(shop: Shop, buyer: Customer):
    """Stock was taken when the order was on its way: as much as there was, however much had been sold (eShop #888)."""
    short, plenty = await shop.stocked(3), await shop.stocked(9)

    _, reason, metadata = await refused(shop.order(buyer, (plenty, 1), (short, 5)))

    assert (reason, metadata) == ("OUT_OF_STOCK", {"sku": short, "wanted": "5", "available": "3"})
    assert [await shop.balance(sku) for sku in (short, plenty)] == [(3, 0), (9, 0)]
    assert await seen_by(shop, buyer) == []


async def test_a_failed_attempt_leaves_its_key_good(shop: Shop, buyer: Customer):
    """Once an attempt had failed, its cart could not be ordered any more, whatever was put right (medusa #12184)."""
    sku = await shop.stocked(1)
    assert (await refused(shop.order(buyer, (sku, 2), key="again")))[1] == "OUT_OF_STOCK"

    await shop.receive(sku, 1)

    assert State.Name((await shop.order(buyer, (sku, 2), key="again")).state) == "CONFIRMED"


async def test_what_could_not_be_published_is_published_later(shop: Shop, buyer: Customer):
    """What the bus didn't take at once stayed in the log of events for ever (eShopOnContainers #279)."""
    sku = await shop.stocked(5)
    async with bus_away(shop):
        order = await shop.order(buyer, (sku, 2))
        assert State.Name(order.state) == "CONFIRMED"
        # Created and placed, for those who follow orders; and its line, for rankings.
        assert await shop.execute("orders", _UNPUBLISHED, order.order_id) == [(3,)]

    await eventually(lambda: told(shop, order.order_id), ["OrderCreated", "OrderPlaced"], seconds=30)
    await eventually(lambda: shop.top(order.lines[0].category_id), [(sku, 1, 2, 2000)], seconds=30)


async def test_nobody_names_the_price_of_what_they_buy(shop: Shop, buyer: Customer):
    """The price came along with the order, and was believed (eShopOnWeb #698)."""
    sku = await shop.stocked(5, price=1000)
    pricing = shop.stub(pricing_service_pb2_grpc.PricingServiceStub, buyer.principal)
    ask = pricing_service_pb2.CreateQuoteRequest(
        lines=[pricing_service_pb2.CreateQuoteRequest.Line(sku=sku, quantity=1)], country="ZZ", state="KA", method_class="ON_DELIVERY"
    )
    quoted = await pricing.CreateQuote(ask)
    quoted.quote.total.minor_units = 1
    sealed = quoted.signed_quote
    forged = pricing_pb2.SignedQuote(payload=quoted.quote.SerializeToString(), key_id=sealed.key_id, mac=sealed.mac)

    assert (await refused(shop.order(buyer, (sku, 1), signed_quote=forged)))[1:] == ("QUOTE_INVALID", {"why": "forged"})
    assert (await refused(shop.order(buyer, (sku, 1), expected_total=Money(currency_code="USD", minor_units=1))))[1] == "PRICE_CHANGED"
    assert await shop.balance(sku) == (5, 0)
    assert (await shop.order(buyer, (sku, 1), signed_quote=sealed)).subtotal.minor_units == 1000
