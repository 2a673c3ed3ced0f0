"""Every event may come twice, and a watcher may come back: nothing is counted, taken or missed for that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from bazaar.orders.v1 import orders_pb2, orders_service_pb2
from services.kit.events import event_bus
from services.kit.events.port import Event, EventBus
from services.kit.ids import uuid7
from tests.bus import books_of
from tests.serving import refused
from tests.shop import Customer, Shop, category_of

State = orders_pb2.Order.State


@pytest.fixture(scope="module")
async def bus(shop: Shop) -> AsyncIterator[EventBus]:
    bus = event_bus(shop.servers.events)
    await bus.open()
    yield bus
    await bus.close()


async def told_of(shop: Shop, *orders: orders_pb2.Order) -> list[Event]:
    """What was published about these orders."""
    books, ids = books_of(shop.servers.events), {order.order_id for order in orders}
    return [event for topic in ("orders", "order-lines") for event in await books.told(topic) if event.subject in ids]


async def test_events_that_come_again_change_nothing(shop: Shop, bus: EventBus):
    path = ("Twice " + uuid7()[-6:],)
    sku, other_sku, customer = await shop.stocked(9, path=path), await shop.stocked(9, path=path), await shop.customer()
    cart_id = await shop.cart_of(customer, (sku, 2), (other_sku, 1))
    placed = await shop.order(customer, cart_id=cart_id)
    ended = await shop.order(customer, (sku, 5))
    await shop.cancel(customer, ended.order_id)
    assert await shop.violations() == []
    await shop.add(customer, cart_id, sku, 3)

    events = await told_of(shop, placed, ended)
    await bus.publish(events)
    await bus.publish(events[::-1])
    assert await shop.violations() == []

    assert sorted(event.type.rpartition(".")[2] for event in events) == [
        *("OrderCancelled", "OrderCancelling", "OrderCreated", "OrderCreated"),
        *("OrderLinesPlaced", "OrderLinesPlaced", "OrderLinesReversed", "OrderPlaced", "OrderPlaced"),
    ]
    assert len(await told_of(shop, placed, ended)) == 3 * len(events)
    assert await shop.top(category_of(path), metric="units") == [(sku, 1, 2, 2000), (other_sku, 1, 1, 1000)]
    assert await shop.units_in(customer, cart_id) == 3
    assert await shop.balance(sku) == (7, 0)


def watch(shop: Shop, customer: Customer, order_id: str, after_version: int = 0) -> AsyncIterator[orders_service_pb2.WatchOrderResponse]:
    ask = orders_service_pb2.WatchOrderRequest(order_id=order_id, after_version=after_version)
    return aiter(shop.orders(customer.principal).WatchOrder(ask))


async def rest(updates: AsyncIterator[orders_service_pb2.WatchOrderResponse]) -> list[tuple[str, bool]]:
    return [(State.Name(update.order.state), update.is_last) async for update in updates]


async def test_a_watcher_who_comes_back_gets_only_what_is_new(shop: Shop, buyer: Customer):
    sku = await shop.stocked(5)
    order = await shop.order(buyer, (sku, 1))
    updates = watch(shop, buyer, order.order_id, after_version=order.version)
    next_one = asyncio.ensure_future(anext(updates))

    await shop.cancel(buyer, order.order_id)

    first = await next_one
    assert first.order.version > order.version
    assert (await rest(updates) or [(State.Name(first.order.state), first.is_last)])[-1] == ("CANCELLED", True)


async def test_a_watcher_who_missed_a_change_gets_it_at_once(shop: Shop, buyer: Customer):
    sku = await shop.stocked(5)
    order = await shop.order(buyer, (sku, 1))

    update = await anext(watch(shop, buyer, order.order_id, after_version=order.version - 1))

    assert (update.order, update.is_last) == (order, False)


async def test_a_watcher_of_an_order_that_has_ended_is_told_so_once(shop: Shop, buyer: Customer):
    sku = await shop.stocked(5)
    order = await shop.cancel(buyer, (await shop.order(buyer, (sku, 1))).order_id)

    assert await rest(watch(shop, buyer, order.order_id)) == [("CANCELLED", True)]


async def test_a_watcher_who_has_seen_the_end_gets_no_order_again(shop: Shop, buyer: Customer):
    sku = await shop.stocked(5)
    order = await shop.cancel(buyer, (await shop.order(buyer, (sku, 1))).order_id)

    [update] = [update async for update in watch(shop, buyer, order.order_id, order.version)]
    assert (update.HasField("order"), update.is_last, update.event_id) == (False, True, str(order.version))


async def test_two_watchers_both_see_the_end(shop: Shop, buyer: Customer):
    sku = await shop.stocked(5)
    order = await shop.order(buyer, (sku, 1))
    both = [watch(shop, buyer, order.order_id) for _ in range(2)]
    assert [State.Name((await anext(updates)).order.state) for updates in both] == ["CONFIRMED", "CONFIRMED"]

    await shop.cancel(buyer, order.order_id)

    assert [(await rest(updates))[-1] for updates in both] == [("CANCELLED", True)] * 2


async def test_somebody_elses_order_cannot_be_watched(shop: Shop, buyer: Customer, other: Customer):
    sku = await shop.stocked(5)
    order = await shop.order(buyer, (sku, 1))

    assert (await refused(anext(watch(shop, other, order.order_id))))[:2] == ("NOT_FOUND", "ORDER_NOT_FOUND")
