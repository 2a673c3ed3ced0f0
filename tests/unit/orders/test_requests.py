"""The recovery point of PlaceOrder on a real PostgreSQL. Two stores are two processes: each is a batch of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from services.kit.database import Database
from services.kit.errors import Unavailable
from services.kit.ids import bucket_of_order, user_bucket
from services.orders.model import Order, Request, RequestReused, State, cancelled, cancelling, submitted
from services.orders.requests import RequestStore
from services.orders.store import OrderStore
from tests.unit.orders.sample import OTHER, UNKEYED, USER, content, request, rows, until_waiting
from tests.unit.rivals import meet

_LOCK_ROW = "SELECT 1 FROM orders WHERE order_id = %s FOR UPDATE"


@pytest.fixture
async def other(database: Database) -> AsyncIterator[RequestStore]:
    """The same in another process."""
    elsewhere = Database(database.url)
    await elsewhere.open()
    yield RequestStore(elsewhere)
    await elsewhere.close()


async def fail(store: OrderStore, order: Order, reason: str = "OUT_OF_STOCK") -> Order:
    await store.change(order.order_id, lambda order, now: cancelling(order, reason, at=now))
    return await store.change(order.order_id, lambda order, now: cancelled(order, at=now))


async def submit(store: OrderStore, order: Order) -> Order:
    return await store.change(order.order_id, lambda of, now: submitted(of, content(), version=order.version, at=now))


async def expire_claim(database: Database, order_id: str) -> None:
    await rows(database, "UPDATE orders SET claimed_until = now() - interval '1 second' WHERE order_id = %s", order_id)


async def test_a_new_request_opens_a_hidden_order_for_its_holder(requests: RequestStore):
    opened = await requests.open(USER, request())

    order = opened.order
    assert (opened.is_holder, order.user_id, order.state, order.version, order.is_submitted) == (True, USER, State.CREATED, 1, False)
    assert [entry.state for entry in order.timeline] == [State.CREATED]
    assert order.due_at is not None
    assert bucket_of_order(order.order_id) == user_bucket(USER)


async def test_a_repeat_finds_the_order_and_has_to_wait(requests: RequestStore):
    first = await requests.open(USER, request())

    again = await requests.open(USER, request())

    assert (again.order, again.is_holder) == (first.order, False)


async def test_requests_without_an_id_are_never_one(requests: RequestStore, database: Database):
    first, second = await asyncio.gather(requests.open(USER, UNKEYED), requests.open(USER, UNKEYED))

    assert first.order.order_id != second.order.order_id
    assert (first.is_holder, second.is_holder) == (True, True)
    assert await rows(database, "SELECT * FROM order_requests") == []


@pytest.mark.parametrize(
    "different",
    [
        Request(f"user:{OTHER}", "PlaceOrder", "key-1", b"one"),
        Request(f"user:{USER}", "BuyNow", "key-1", b"one"),
        Request(f"user:{USER}", "PlaceOrder", "key-2", b"one"),
    ],
)
async def test_another_principal_method_or_id_is_another_request(requests: RequestStore, different: Request):
    first = await requests.open(USER, request())

    assert (await requests.open(USER, different)).order.order_id != first.order.order_id


async def test_another_body_is_refused(requests: RequestStore, database: Database):
    await requests.open(USER, request(body=b"one"))

    with pytest.raises(RequestReused) as refused:
        await requests.open(USER, request(body=b"two"))

    assert refused.value.metadata == {"request_id": "key-1"}
    assert await rows(database, "SELECT fingerprint FROM order_requests") == [(b"one",)]


async def test_rivals_in_one_batch_open_one_order(requests: RequestStore, database: Database):
    opened = await asyncio.gather(*(requests.open(USER, request()) for _ in range(10)))

    assert len({of.order.order_id for of in opened}) == 1
    assert [of.is_holder for of in opened].count(True) == 1
    assert await rows(database, "SELECT count(*) FROM orders") == [(1,)]


async def test_rivals_in_two_processes_open_one_order(requests: RequestStore, other: RequestStore, database: Database):
    lock = "LOCK TABLE order_requests IN SHARE MODE"

    opened = await meet(database, lock, [], requests.open(USER, request()), other.open(USER, request()))

    assert len({of.order.order_id for of in opened}) == 1
    assert sorted(of.is_holder for of in opened) == [False, True]
    assert await rows(database, "SELECT count(*) FROM orders") == [(1,)]


async def test_a_repeat_takes_over_when_the_claim_has_expired(requests: RequestStore, database: Database):
    first = await requests.open(USER, request())
    await expire_claim(database, first.order.order_id)

    again = await requests.open(USER, request())

    assert (again.is_holder, again.order.order_id, again.order.version) == (True, first.order.order_id, 2)
    assert (await requests.open(USER, request())).is_holder is False


async def test_only_one_of_two_rivals_takes_over(requests: RequestStore, other: RequestStore, database: Database):
    first = await requests.open(USER, request())
    await expire_claim(database, first.order.order_id)

    lock = [first.order.order_id]
    opened = await meet(database, _LOCK_ROW, lock, requests.open(USER, request()), other.open(USER, request()))

    assert sorted(of.is_holder for of in opened) == [False, True]
    assert {of.order.version for of in opened} == {2}


async def test_a_submitted_order_is_held_by_nobody(requests: RequestStore, store: OrderStore, database: Database):
    first = await requests.open(USER, request())
    order = await submit(store, first.order)
    await expire_claim(database, order.order_id)

    again = await requests.open(USER, request())

    assert (again.order, again.is_holder) == (order, False)


async def test_a_repeat_that_waited_for_the_submission_sees_the_content(requests: RequestStore, store: OrderStore, database: Database):
    first = await requests.open(USER, request())

    async with database.transaction() as tx:
        await tx.execute(_LOCK_ROW, [first.order.order_id])
        repeat = asyncio.create_task(requests.open(USER, request()))
        await until_waiting(database)
        # What a submission writes, while the repeat waits for the row.
        await tx.execute(
            "INSERT INTO order_contents SELECT user_bucket, order_id, %s::jsonb FROM orders WHERE order_id = %s",
            [await content_json(database), first.order.order_id],
        )
        await tx.execute("UPDATE orders SET state = 'PAYMENT_PENDING', is_submitted = true WHERE order_id = %s", [first.order.order_id])

    assert (await repeat).order.content == content()


async def test_a_failed_request_starts_again_with_a_new_order(requests: RequestStore, store: OrderStore, database: Database):
    first = await requests.open(USER, request())
    await fail(store, first.order)

    again = await requests.open(USER, request(body=b"two"))

    assert (again.is_holder, again.order.state, again.order.version) == (True, State.CREATED, 1)
    assert again.order.order_id != first.order.order_id
    assert await rows(database, "SELECT order_id, fingerprint FROM order_requests") == [(again.order.order_id, b"two")]
    assert (await requests.open(USER, request(body=b"two"))).order == again.order


async def test_only_one_of_two_rivals_starts_again(requests: RequestStore, other: RequestStore, store: OrderStore, database: Database):
    first = await requests.open(USER, request())
    await fail(store, first.order)

    lock = [first.order.order_id]
    opened = await meet(database, _LOCK_ROW, lock, requests.open(USER, request()), other.open(USER, request()))

    assert len({of.order.order_id for of in opened}) == 1
    assert sorted(of.is_holder for of in opened) == [False, True]


async def test_an_order_that_expired_unpaid_leaves_its_request_good(requests: RequestStore, store: OrderStore):
    first = await requests.open(USER, request())
    await fail(store, await submit(store, first.order), "EXPIRED")

    again = await requests.open(USER, request())

    assert (again.is_holder, again.order.order_id == first.order.order_id) == (True, False)


async def test_an_order_that_its_customer_cancelled_is_not_placed_again(requests: RequestStore, store: OrderStore):
    first = await requests.open(USER, request())
    order = await fail(store, await submit(store, first.order), "CUSTOMER")

    again = await requests.open(USER, request())

    assert (again.order, again.is_holder) == (order, False)


async def test_an_answer_lost_at_commit_leaves_the_caller_the_holder(database: Database):
    class LosingAnswers(RequestStore):
        is_due = True

        async def _open(self, openings):
            opened = await super()._open(openings)
            if self.is_due:
                self.is_due = False
                raise Unavailable("the connection was lost")
            return opened

    opened = await LosingAnswers(database).open(USER, request())

    assert opened.is_holder is True
    assert await rows(database, "SELECT count(*) FROM orders") == [(1,)]


async def test_requests_are_forgotten_after_a_day(requests: RequestStore, database: Database):
    old, new = await requests.open(USER, request("old")), await requests.open(USER, request("new"))
    await rows(database, "UPDATE order_requests SET created_at = now() - interval '24 hours 1 second' WHERE request_id = 'old'")

    await requests.forget()

    assert await rows(database, "SELECT request_id FROM order_requests") == [("new",)]
    assert (await requests.open(USER, request("old"))).order.order_id != old.order.order_id
    assert (await requests.open(USER, request("new"))).order == new.order


@pytest.mark.parametrize(("age", "left"), [("25 hours 1 second", []), ("24 hours 59 minutes", [State.CANCELLED])])
async def test_hidden_orders_that_came_to_nothing_go_after_their_requests(
    requests: RequestStore, store: OrderStore, database: Database, age: str, left: list[State]
):
    await fail(store, (await requests.open(USER, UNKEYED)).order)
    await rows(database, f"UPDATE orders SET updated_at = now() - interval '{age}'")

    await requests.forget()

    assert await rows(database, "SELECT state FROM orders") == [(state,) for state in left]


async def test_orders_that_somebody_saw_are_never_forgotten(requests: RequestStore, store: OrderStore, database: Database):
    await fail(store, await submit(store, (await requests.open(USER, UNKEYED)).order))
    await requests.open(USER, UNKEYED)
    await rows(database, "UPDATE orders SET updated_at = now() - interval '10 years'")

    await requests.forget()

    assert await rows(database, "SELECT state FROM orders ORDER BY state") == [("CANCELLED",), ("CREATED",)]


async def content_json(database: Database) -> str:
    """A content as it is kept."""
    requests, store = RequestStore(database), OrderStore(database, lambda order: [])
    order = await submit(store, (await requests.open(USER, UNKEYED)).order)
    return (await rows(database, "SELECT content::text FROM order_contents WHERE order_id = %s", order.order_id))[0][0]
