"""Two worker processes at the same stock: each is a pool and a batch of its own on one database."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import pytest

from services.inventory.model import Line, Release, Reservation, State
from services.kit.database import Connection, Database
from services.kit.errors import DomainError, Unavailable
from tests.stock import Inventory, migrated, order, reserve, unkeyed
from tests.unit.rivals import meet

T = TypeVar("T")

_LOCK = "SELECT 1 FROM balances WHERE sku = %s FOR UPDATE"
_DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
_END_WAITING = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


class LosingAnswers(Database):
    """Its connection breaks once, just after a COMMIT that the caller hears nothing of."""

    is_due = True

    async def run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        result = await super().run(work)
        if self.is_due:
            self.is_due = False
            raise Unavailable("the connection was lost")
        return result


@pytest.fixture
async def one(database_url: str) -> AsyncIterator[Inventory]:
    database = Database(await migrated(database_url))
    await database.open()
    yield Inventory(database)
    await database.close()


@pytest.fixture
async def other(one: Inventory) -> AsyncIterator[Inventory]:
    database = Database(one.database.url)
    await database.open()
    yield Inventory(database)
    await database.close()


def told(results: list) -> Counter[str]:
    """How often each state or reason was answered."""
    return Counter(of.reason if isinstance(of, DomainError) else of.state for of in results)


async def test_of_200_buyers_of_50_units_exactly_50_get_one(one: Inventory, other: Inventory):
    await one.receive("tv", 50)

    buyers = [process.reserve("tv") for _ in range(100) for process in (one, other)]
    results = await asyncio.gather(*buyers, return_exceptions=True)

    assert told(results) == {"HELD": 50, "OUT_OF_STOCK": 150}
    assert await one.balance("tv") == (50, 50)
    assert await one.broken() == []


async def test_the_last_unit_goes_to_one_of_two_processes(one: Inventory, other: Inventory):
    await one.receive("tv", 1)

    results = await meet(one.database, _LOCK, ["tv"], one.reserve("tv"), other.reserve("tv"))

    assert told(results) == {"HELD": 1, "OUT_OF_STOCK": 1}
    assert await one.balance("tv") == (1, 1)


async def test_an_expired_order_that_commits_and_a_newcomer_cannot_both_have_the_last_unit(one: Inventory, other: Inventory):
    await one.receive("tv", 1)
    held = await one.reserve("tv")
    await one.expire(held.order_id)

    results = await meet(one.database, _LOCK, ["tv"], one.commit(held.order_id), other.reserve("tv"))

    assert told(results)["OUT_OF_STOCK"] == 1
    assert await one.balance("tv") in [(0, 0), (1, 1)]
    assert await one.broken() == []


async def test_one_order_that_reaches_both_processes_holds_once(one: Inventory, other: Inventory):
    await one.receive("tv", 5)
    wanted = order()

    first, second = await meet(one.database, _LOCK, ["tv"], one.reserve("tv", 2, wanted), other.reserve("tv", 2, wanted))

    assert first == second
    assert await one.balance("tv") == (5, 2)
    assert await one.broken() == []


async def test_a_release_that_overtakes_its_reserve_leaves_nothing_held(one: Inventory, other: Inventory):
    await one.receive("tv", 5)
    wanted = order()

    results = await meet(one.database, _LOCK, ["tv"], one.reserve("tv", 2, wanted), _release_and_let_go(other, wanted))

    assert told(results[:1]) == {"RESERVATION_ENDED": 1}
    assert await one.balance("tv") == (5, 0)


async def _release_and_let_go(process: Inventory, order_id: str) -> Reservation:
    """Released while the reserve waits; then waits too, for `meet` lets them go together."""
    released = await process.reservations.submit(Release(order_id))
    await process.reserve("tv", 9)
    return released


async def test_orders_that_name_the_same_skus_in_opposite_orders_never_deadlock(one: Inventory, other: Inventory):
    skus = [f"sku-{number}" for number in range(10)]
    for sku in skus:
        await one.receive(sku, 60)

    forwards = [one.reservations.submit(reserve("", *((sku, 1) for sku in skus))) for _ in range(100)]
    backwards = [other.reservations.submit(reserve("", *((sku, 1) for sku in reversed(skus)))) for _ in range(100)]
    deliveries = [other.stock.receive([Line(sku, 1) for sku in reversed(skus)], "main", "", once=unkeyed()) for _ in range(20)]
    results = await asyncio.gather(*forwards, *backwards, *deliveries, return_exceptions=True)

    assert not [of for of in results if isinstance(of, Exception) and not isinstance(of, DomainError)]
    held = sum(isinstance(of, Reservation) for of in results)
    assert 60 <= held <= 80
    assert [await one.balance(sku) for sku in skus] == [(80, held)] * 10
    assert await one.rows(_DEADLOCKS) == [{"deadlocks": 0}]
    assert await one.broken() == []


async def test_batches_that_settle_and_reserve_overlapping_orders_never_deadlock(one: Inventory, other: Inventory):
    for sku in ("cup", "tv"):
        await one.receive(sku, 100)
    held = [await one.reservations.submit(reserve("", ("cup", 1), ("tv", 1))) for _ in range(40)]

    settling = [process.commit(of.order_id) for of in held for process in (one, other)]
    newcomers = [process.reservations.submit(reserve("", ("tv", 1), ("cup", 1))) for _ in range(40) for process in (other, one)]
    results = await asyncio.gather(*settling, *newcomers, return_exceptions=True)

    assert told(results) == {"COMMITTED": 80, "HELD": 60, "OUT_OF_STOCK": 20}
    assert [await one.balance(sku) for sku in ("cup", "tv")] == [(60, 60), (60, 60)]
    assert await one.rows(_DEADLOCKS) == [{"deadlocks": 0}]
    assert await one.broken() == []


async def test_two_lines_of_one_sku_are_one_quantity(one: Inventory):
    await one.receive("tv", 3)

    with pytest.raises(DomainError) as refused:
        await one.reservations.submit(reserve("", ("tv", 2), ("tv", 2)))

    assert refused.value.metadata == {"sku": "tv", "wanted": "4", "available": "3"}
    assert await one.balance("tv") == (3, 0)


async def test_a_process_that_dies_between_commit_and_answer_has_reserved_once(one: Inventory, other: Inventory):
    await one.receive("tv", 5)
    wanted = reserve("", ("tv", 2))

    first = await one.reservations.decide([wanted])
    assert await other.reservations.decide([wanted]) == first
    assert await one.balance("tv") == (5, 2)


async def test_a_connection_lost_at_commit_is_looked_up_by_order(one: Inventory):
    await one.receive("tv", 5)
    database = LosingAnswers(one.database.url)
    await database.open()

    held = await Inventory(database).reserve("tv", 2)
    await database.close()

    assert held.state is State.HELD
    assert await one.balance("tv") == (5, 2)


async def test_a_connection_lost_before_the_commit_holds_nothing_until_the_batch_runs_again(one: Inventory, other: Inventory):
    await one.receive("tv", 5)
    async with one.database.transaction() as tx:
        await tx.execute(_LOCK, ["tv"])
        waiting = asyncio.create_task(other.reserve("tv", 2))
        async with asyncio.timeout(10):
            while not await one.rows(_END_WAITING):
                await asyncio.sleep(0.005)
        assert await one.rows("SELECT * FROM holds") == []

    assert (await waiting).state is State.HELD
    assert await one.balance("tv") == (5, 2)
    assert await one.broken() == []
