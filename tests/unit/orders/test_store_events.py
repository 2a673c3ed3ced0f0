"""What a change of an order tells, in the same transaction or not at all."""

from __future__ import annotations

import pytest

from bazaar.orders.v1 import events_pb2
from services.kit.database import Database
from services.kit.telemetry import tracing
from services.orders.events import announcements
from services.orders.model import Order, State, VersionStale, submitted
from services.orders.requests import RequestStore
from services.orders.store import OrderStore
from tests.spans import recorded
from tests.unit.orders.sample import content, line, rows
from tests.unit.orders.steps import confirm, end, new, note_cancel, submit, told


async def test_a_refused_change_leaves_the_order_and_says_nothing(store: OrderStore, order: Order, database: Database):
    with pytest.raises(VersionStale):
        await store.change(order.order_id, lambda of, now: submitted(of, content(), version=7, at=now))

    assert await store.read(order.order_id) == order
    assert await told(database) == []


async def test_a_change_that_changes_nothing_says_nothing(store: OrderStore, order: Order, database: Database):
    assert await store.change(order.order_id, lambda of, now: of) == order

    assert await told(database) == []


async def test_of_a_hidden_order_nobody_is_told(store: OrderStore, order: Order, database: Database):
    await end(store, await note_cancel(store, order, "OUT_OF_STOCK"))

    assert (await store.read(order.order_id)).state is State.CANCELLED
    assert await told(database) == []


async def test_every_change_of_a_visible_order_is_told_with_its_version(store: OrderStore, order: Order, database: Database):
    await end(store, await note_cancel(store, await confirm(store, await submit(store, order))))

    key = order.order_id
    assert await told(database) == [
        ("OrderCreated", key, 2),
        ("OrderPlaced", key, 3),
        ("OrderCancelling", key, 4),
        ("OrderCancelled", key, 5),
    ]


async def test_the_lines_of_a_placed_order_are_told_by_root_category_and_taken_back_when_it_ends(
    store: OrderStore, order: Order, database: Database
):
    after = await submit(store, order, line(1, "tv"), line(2, "rice", category_id="food.rice"), line(3, "radio"))
    await end(store, await note_cancel(store, await confirm(store, after)))

    assert await told(database, "order-lines") == [
        ("OrderLinesPlaced", "electronics", 3),
        ("OrderLinesPlaced", "food", 3),
        ("OrderLinesReversed", "electronics", 5),
        ("OrderLinesReversed", "food", 5),
    ]


async def test_a_line_that_is_taken_back_names_the_hour_of_its_placing(store: OrderStore, order: Order, database: Database):
    after = await confirm(store, await submit(store, order))
    await rows(database, "UPDATE orders SET confirmed_at = '2026-01-01T00:00:00Z' WHERE order_id = %s", order.order_id)
    await end(store, await note_cancel(store, after))

    (payload,) = (await rows(database, "SELECT payload FROM outbox WHERE topic = 'order-lines' ORDER BY id DESC LIMIT 1"))[0]
    (counted,) = events_pb2.OrderLineEvent.FromString(payload).order_lines_reversed.lines
    assert (counted.sign, counted.sku, counted.net_amount.minor_units) == (-1, "tv", 1000)
    assert counted.placed_time.ToJsonString() == "2026-01-01T00:00:00Z"


async def test_an_order_cancelled_unpaid_has_no_lines_to_take_back(store: OrderStore, order: Order, database: Database):
    await end(store, await note_cancel(store, await submit(store, order), "EXPIRED"))

    assert await told(database) == [
        ("OrderCreated", order.order_id, 2),
        ("OrderCancelling", order.order_id, 3),
        ("OrderCancelled", order.order_id, 4),
    ]
    assert await told(database, "order-lines") == []


async def test_a_change_whose_events_cannot_be_written_is_not_made(requests: RequestStore, database: Database):
    def unspeakable(order: Order) -> list:
        raise RuntimeError("no words")

    order = await new(requests)
    with pytest.raises(RuntimeError, match="no words"):
        await submit(OrderStore(database, unspeakable), order)

    assert await OrderStore(database, announcements).read(order.order_id) == order
    assert await rows(database, "SELECT * FROM order_contents") == []


async def test_an_event_belongs_to_the_trace_of_the_change_not_of_the_batch(store: OrderStore, order: Order, database: Database):
    with recorded() as spans:
        with tracing.span("placing"):
            await submit(store, order)
        placing = spans.named("placing")

    ((traceparent,),) = await rows(database, "SELECT traceparent FROM outbox")
    assert traceparent == tracing.traceparent_of(placing.context)
