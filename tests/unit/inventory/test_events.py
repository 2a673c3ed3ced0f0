"""Stock that crosses a threshold is told of once, in the transaction that moves it."""

from __future__ import annotations

import pytest

from bazaar.inventory.v1 import events_pb2
from services.inventory.model import Release, StockBelowZero
from tests.outbox import told
from tests.stock import Inventory, order, reserve, unkeyed


async def news(shelf: Inventory) -> list[tuple[str, str, int]]:
    """Type, key and version of what is told."""
    return [(event.type.rpartition(".")[2], event.key, event.aggregate_version) for event in await told(shelf.database)]


async def test_the_first_stock_is_told_with_its_number_and_version(shelf: Inventory):
    await shelf.receive("tv", 20)

    [event] = await told(shelf.database)
    assert (event.topic, event.type, event.key, event.subject) == ("stock", "bazaar.inventory.v1.StockBack", "tv", "tv")
    assert events_pb2.StockEvent.FromString(event.payload).stock_back == events_pb2.StockBack(sku="tv", available=20)
    [level] = await shelf.stock.levels(["tv"])
    assert event.aggregate_version == level.version


async def test_reservations_tell_of_low_and_out_at_the_crossing_only(shelf: Inventory):
    await shelf.receive("tv", 12)
    for units in (1, 1, 1, 8, 1):
        await shelf.reserve("tv", units)

    assert [kind for kind, _, _ in await news(shelf)] == ["StockBack", "StockLow", "StockOut"]
    low = events_pb2.StockEvent.FromString((await told(shelf.database))[1].payload).stock_low
    assert low == events_pb2.StockLow(sku="tv", available=10)


async def test_versions_of_what_is_told_grow(shelf: Inventory):
    await shelf.receive("tv", 1)
    order_id = (await shelf.reserve("tv")).order_id
    await shelf.reservations.submit(Release(order_id))

    versions = [version for _, _, version in await news(shelf)]
    assert versions == sorted(set(versions))
    assert len(versions) == 3


async def test_what_a_batch_takes_and_gives_back_is_no_news(shelf: Inventory):
    await shelf.receive("tv", 1)
    order_id = order()
    await shelf.reservations.decide([reserve(order_id, ("tv", 1)), Release(order_id)])

    assert [kind for kind, _, _ in await news(shelf)] == ["StockBack"]


async def test_a_refused_reservation_tells_nothing(shelf: Inventory):
    await shelf.receive("tv", 1)
    await shelf.reservations.decide([reserve("", ("tv", 2))])

    assert [kind for kind, _, _ in await news(shelf)] == ["StockBack"]


async def test_a_refused_adjustment_tells_nothing(shelf: Inventory):
    await shelf.receive("tv", 1)
    with pytest.raises(StockBelowZero):
        await shelf.stock.adjust("tv", "main", -2, "theft", once=unkeyed())

    assert [kind for kind, _, _ in await news(shelf)] == ["StockBack"]


async def test_the_commit_of_what_was_held_is_no_news(shelf: Inventory):
    await shelf.receive("tv", 1)
    await shelf.commit((await shelf.reserve("tv")).order_id)

    assert [kind for kind, _, _ in await news(shelf)] == ["StockBack", "StockOut"]


async def test_an_expired_reservation_is_told_when_it_is_folded_back(shelf: Inventory):
    await shelf.receive("tv", 1)
    await shelf.expire((await shelf.reserve("tv")).order_id)
    assert await shelf.reservations.sweep() == 1

    assert [kind for kind, _, _ in await news(shelf)] == ["StockBack", "StockOut", "StockBack"]


async def test_what_is_folded_back_and_taken_again_at_once_is_no_news(shelf: Inventory):
    await shelf.receive("tv", 1)
    await shelf.expire((await shelf.reserve("tv")).order_id)
    await shelf.reserve("tv")

    assert [kind for kind, _, _ in await news(shelf)] == ["StockBack", "StockOut"]


async def test_a_transfer_is_no_news(shelf: Inventory):
    await shelf.receive("tv", 5)
    await shelf.stock.transfer("tv", "main", "delhi", 5, once=unkeyed())

    assert [kind for kind, _, _ in await news(shelf)] == ["StockBack"]
