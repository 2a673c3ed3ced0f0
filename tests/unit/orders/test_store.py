"""Orders on a real PostgreSQL: changed one after another, read page by page."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest

from services.kit.database import Database
from services.orders.model import Order, OrderNotFound, State, TimelineEntry
from services.orders.requests import RequestStore
from services.orders.store import OrderStore
from services.orders.wire import placed_of
from tests.unit.orders.sample import OTHER, USER, content, line, rows
from tests.unit.orders.steps import confirm, end, new, note_cancel, one_came_first, placed, submit, told
from tests.unit.rivals import meet

_LOCK_ROW = "SELECT 1 FROM orders WHERE order_id = %s FOR UPDATE"
NEVER_WAS = "0198c0de-0000-7000-8000-0000000000ff"


async def test_a_submitted_order_reads_back_whole(store: OrderStore, order: Order):
    after = await submit(store, order, line(1, "tv", quantity=2), line(2, "rice", category_id="food.rice", price=70))

    assert after.content == content(line(1, "tv", quantity=2), line(2, "rice", category_id="food.rice", price=70))
    assert await store.read(order.order_id) == after
    assert after.timeline == (order.timeline[0], TimelineEntry(State.PAYMENT_PENDING, after.updated_at))


async def test_times_are_the_databases(store: OrderStore, order: Order, database: Database):
    before = (await rows(database, "SELECT clock_timestamp()"))[0][0]
    after = await submit(store, order)

    assert before < after.updated_at < (await rows(database, "SELECT clock_timestamp()"))[0][0]
    assert after.due_at == after.updated_at + timedelta(seconds=60)


async def test_an_order_that_never_was_is_not_found(store: OrderStore):
    for order_id in (NEVER_WAS, "00000000-0000-4000-8000-000000000000"):
        with pytest.raises(OrderNotFound):
            await store.read(order_id)
        with pytest.raises(OrderNotFound):
            await store.change(order_id, lambda order, now: order)


async def test_an_order_that_is_missing_leaves_the_rest_of_its_batch_alone(store: OrderStore, order: Order):
    missing, after = await asyncio.gather(store.change(NEVER_WAS, lambda of, now: of), submit(store, order), return_exceptions=True)

    assert isinstance(missing, OrderNotFound)
    assert isinstance(after, Order)
    assert after.state is State.PAYMENT_PENDING


async def test_changes_of_one_order_in_one_batch_see_each_other(store: OrderStore, order: Order, database: Database):
    after, done, again = await asyncio.gather(submit(store, order), confirm(store, order), confirm(store, order))

    assert (after.state, done.state, done.version, again) == (State.PAYMENT_PENDING, State.CONFIRMED, 3, done)
    assert await store.read(order.order_id) == done
    assert [kind for kind, _, _ in await told(database)] == ["OrderCreated", "OrderPlaced"]


async def test_many_orders_change_in_one_batch(requests: RequestStore, store: OrderStore):
    orders = await asyncio.gather(*(new(requests) for _ in range(50)))

    after = await asyncio.gather(*(submit(store, order, line(quantity=number + 1)) for number, order in enumerate(orders)))

    assert [of.order_id for of in after] == [of.order_id for of in orders]
    assert [of.content.lines[0].quantity for of in after if of.content] == list(range(1, 51))
    assert [await store.read(of.order_id) for of in after] == after


async def test_confirming_and_cancelling_meet_and_one_comes_first(store: OrderStore, other: OrderStore, order: Order, database: Database):
    await submit(store, order)

    results = await meet(database, _LOCK_ROW, [order.order_id], confirm(store, order), note_cancel(other, order))

    assert await one_came_first(store, order, results[0])


async def test_a_change_that_waited_for_the_submission_sees_the_content(
    store: OrderStore, other: OrderStore, requests: RequestStore, database: Database
):
    order, sample = await new(requests), await new(requests)
    await submit(store, sample)

    async with database.transaction() as tx:
        await tx.execute(_LOCK_ROW, [order.order_id])
        waiting = asyncio.create_task(note_cancel(other, order))
        async with asyncio.timeout(10):
            while not await rows(
                database, "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            ):
                await asyncio.sleep(0.005)
        # What a submission in another process writes, while the change waits for the row.
        await tx.execute(
            """INSERT INTO order_contents SELECT o.user_bucket, o.order_id, c.content FROM orders o, order_contents c
               WHERE o.order_id = %s AND c.order_id = %s""",
            [order.order_id, sample.order_id],
        )
        await tx.execute("UPDATE orders SET state = 'PAYMENT_PENDING', is_submitted = true WHERE order_id = %s", [order.order_id])

    assert (await waiting).content == content()
    assert ("OrderCancelling", order.order_id) in [(kind, key) for kind, key, _ in await told(database)]


async def test_orders_are_due_once_their_time_is_up_longest_first(requests: RequestStore, store: OrderStore, database: Database):
    first, second, third = [await new(requests) for _ in range(3)]
    await submit(store, second)
    await rows(database, "UPDATE orders SET due_at = now() - interval '2 seconds' WHERE order_id = %s", second.order_id)
    await rows(database, "UPDATE orders SET due_at = now() - interval '1 second' WHERE order_id = %s", first.order_id)

    due = await store.due(10)

    assert [of.order_id for of in due] == [second.order_id, first.order_id]
    assert due[0] == await store.read(second.order_id)
    assert [of.order_id for of in await store.due(1)] == [second.order_id]
    assert third.due_at is not None


async def test_a_postponed_order_is_due_later(store: OrderStore, order: Order, database: Database):
    await rows(database, "UPDATE orders SET due_at = now() - interval '1 second'")

    await store.postpone(order.order_id, timedelta(minutes=1))

    assert await store.due(10) == []
    assert (await rows(database, "SELECT due_at > now() + interval '55 seconds' FROM orders")) == [(True,)]


async def test_an_order_whose_time_was_moved_meanwhile_is_not_postponed(store: OrderStore, order: Order):
    await store.postpone(order.order_id, timedelta(hours=1))

    assert (await store.read(order.order_id)).due_at == order.due_at


async def test_a_confirmed_order_is_never_due(requests: RequestStore, store: OrderStore, database: Database):
    await placed(requests, store)

    assert await rows(database, "SELECT due_at FROM orders") == [(None,)]


async def test_a_users_orders_come_newest_first_from_where_the_last_page_ended(requests: RequestStore, store: OrderStore):
    mine = [await submit(store, await new(requests)) for _ in range(3)]
    await submit(store, await new(requests, OTHER))
    await new(requests)

    assert await store.of_user(USER, before=None, limit=2) == [mine[2], mine[1]]
    assert await store.of_user(USER, before=mine[1].order_id, limit=2) == [mine[0]]


async def test_the_log_holds_every_order_that_was_ever_confirmed_by_id(requests: RequestStore, store: OrderStore):
    first, second = await placed(requests, store), await placed(requests, store, OTHER)
    ended = await end(store, await note_cancel(store, await placed(requests, store)))
    await submit(store, await new(requests))
    log = [placed_of(order) for order in sorted([first, second, ended], key=lambda order: order.order_id)]

    assert await store.placed_after(None, 10) == log
    assert await store.placed_after(None, 2) == log[:2]
    assert await store.placed_after(log[1].order_id, 2) == log[2:]


async def test_the_time_of_a_change_is_aware(store: OrderStore, order: Order):
    seen: list[datetime] = []

    await store.change(order.order_id, lambda of, now: seen.append(now) or of)

    assert seen[0].utcoffset() == timedelta(0)
