"""Orders that go on from where this process left them: without being read, and never against what is stored."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from services.kit.database import Database
from services.orders import recent
from services.orders.model import IllegalMove, Order, State, VersionStale
from services.orders.paying import awaiting, payment_told
from services.orders.recent import Left, Recent
from services.orders.requests import RequestStore
from services.orders.store import OrderStore
from tests.unit.orders.sample import content, rows
from tests.unit.orders.steps import confirm, new, note_cancel, one_came_first, placed, submit, told
from tests.unit.rivals import meet

_STATES = ["CREATED", "PAYMENT_PENDING", "CONFIRMED"]
_TIMELINE = "SELECT jsonb_path_query_array(timeline, '$[*].state') FROM orders WHERE order_id = %s"
_LOCK_ROW = "SELECT 1 FROM orders WHERE order_id = %s FOR UPDATE"


@pytest.fixture
async def pending(store: OrderStore, order: Order) -> Order:
    """An order that the store has submitted, and remembers."""
    return await submit(store, order)


async def test_an_order_that_was_just_opened_is_submitted_and_confirmed_unread(store: OrderStore, order: Order, database: Database):
    store.remember(order)
    # Nobody writes like this: it shows who reads.
    await rows(database, "UPDATE orders SET timeline = '[]' WHERE order_id = %s RETURNING 1", order.order_id)

    submitted = await submit(store, order)
    await rows(database, "UPDATE orders SET timeline = '[]' WHERE order_id = %s RETURNING 1", order.order_id)
    done = await confirm(store, order)

    assert (submitted.content, done.content) == (content(), content())
    assert await rows(database, _TIMELINE, order.order_id) == [(_STATES,)]
    assert await store.read(order.order_id) == done
    assert [kind for kind, _, _ in await told(database)] == ["OrderCreated", "OrderPlaced"]


async def test_times_are_the_databases_whoever_remembers(store: OrderStore, order: Order, database: Database):
    store.remember(order)

    after = await submit(store, order)

    assert order.created_at < after.updated_at < (await rows(database, "SELECT clock_timestamp()"))[0][0]
    assert after.due_at == after.updated_at + timedelta(seconds=60)


async def test_what_another_process_did_meanwhile_is_seen(store: OrderStore, other: OrderStore, pending: Order, database: Database):
    cancelling = await note_cancel(other, pending)

    with pytest.raises(IllegalMove) as refused:
        await confirm(store, pending)

    assert refused.value.metadata["state"] == "CANCELLING"
    assert await store.read(pending.order_id) == cancelling


async def test_an_order_that_another_process_confirmed_is_not_confirmed_again(
    store: OrderStore, other: OrderStore, pending: Order, database: Database
):
    done = await confirm(other, pending)

    assert await confirm(store, pending) == done
    assert [kind for kind, _, _ in await told(database)] == ["OrderCreated", "OrderPlaced"]


async def test_an_order_that_was_claimed_by_another_attempt_is_stale(store: OrderStore, order: Order, database: Database):
    store.remember(order)
    await rows(database, "UPDATE orders SET version = 2 WHERE order_id = %s RETURNING 1", order.order_id)

    with pytest.raises(VersionStale):
        await submit(store, order)

    assert await rows(database, "SELECT state, version FROM orders WHERE order_id = %s", order.order_id) == [("CREATED", 2)]


async def test_a_payments_version_that_was_told_meanwhile_is_kept(store: OrderStore, other: OrderStore, pending: Order):
    # The same state as before: the order's version stays.
    await other.change(pending.order_id, lambda of, now: payment_told(of, "PENDING", 3, at=now))

    assert (await confirm(store, pending)).payment_version == 3


async def test_a_time_to_pay_that_was_given_meanwhile_is_kept(store: OrderStore, other: OrderStore, pending: Order):
    given = await other.change(pending.order_id, lambda of, now: awaiting(of, at=now))

    after = await store.change(pending.order_id, lambda of, now: payment_told(of, "AUTHORIZED", 2, at=now))

    assert after.due_at == given.due_at == pending.created_at + timedelta(minutes=15)
    assert await store.read(pending.order_id) == after


async def test_one_of_a_batch_that_is_not_as_remembered_has_all_of_it_read(
    requests: RequestStore, store: OrderStore, other: OrderStore, database: Database
):
    orders = [await submit(store, await new(requests)) for _ in range(3)]
    await note_cancel(other, orders[1])

    first, second, third = await asyncio.gather(*(confirm(store, order) for order in orders), return_exceptions=True)

    assert isinstance(second, IllegalMove)
    assert isinstance(first, Order)
    assert isinstance(third, Order)
    assert (first.state, third.state) == (State.CONFIRMED, State.CONFIRMED)
    assert [kind for kind, _, _ in await told(database)].count("OrderPlaced") == 2


async def test_confirming_as_remembered_and_cancelling_meet_and_one_comes_first(
    store: OrderStore, other: OrderStore, pending: Order, database: Database
):
    results = await meet(database, _LOCK_ROW, [pending.order_id], confirm(store, pending), note_cancel(other, pending))

    assert await one_came_first(store, pending, results[0])


async def test_two_processes_that_remember_the_same_confirm_it_once(
    store: OrderStore, other: OrderStore, pending: Order, database: Database
):
    other.remember(pending)

    first, second = await meet(database, _LOCK_ROW, [pending.order_id], confirm(store, pending), confirm(other, pending))

    assert first == second
    assert (first.state, first.version) == (State.CONFIRMED, 3)
    assert [kind for kind, _, _ in await told(database)] == ["OrderCreated", "OrderPlaced"]


async def test_after_a_wrong_guess_orders_are_read_for_a_while(
    requests: RequestStore, store: OrderStore, other: OrderStore, pending: Order, monkeypatch: pytest.MonkeyPatch
):
    first, second = [await submit(store, await new(requests)) for _ in range(2)]
    await confirm(other, pending)
    await confirm(store, pending)
    await other.change(first.order_id, lambda of, now: replace(of, timeline=()))
    await other.change(second.order_id, lambda of, now: replace(of, timeline=()))

    read = await confirm(store, first)
    monkeypatch.setattr(recent, "DOUBT_SECONDS", 0.0)
    unread = await confirm(store, second)

    assert [entry.state for entry in read.timeline] == [State.CONFIRMED]
    assert [entry.state for entry in unread.timeline] == _STATES


def test_nothing_is_remembered_unless_all_that_is_asked_for_is(order: Order):
    remembering = Recent()
    remembering.note(Left(order, order.updated_at))

    assert remembering.take({order.order_id, "another"}) is None
    assert remembering.take({order.order_id}) is None


async def test_an_order_without_a_next_step_is_not_remembered(requests: RequestStore, store: OrderStore):
    remembering, done = Recent(), await placed(requests, store)
    remembering.note(Left(done, done.updated_at))

    assert remembering.take({done.order_id}) is None
