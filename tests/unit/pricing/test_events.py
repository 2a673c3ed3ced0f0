"""A price that changes is told of in the transaction that changes it; one that doesn't isn't."""

from __future__ import annotations

import asyncio

from bazaar.pricing.v1 import events_pb2
from bazaar.type.v1.money_pb2 import Money
from services.kit.database import Database
from services.pricing.model import Price
from services.pricing.store import PriceStore
from tests.outbox import told
from tests.unit.pricing.test_store import LATER, NOW


async def test_a_first_price_is_told_without_a_previous_one(database: Database):
    await PriceStore(database).set_prices([Price("tv", "USD", 1000)], NOW)

    [event] = await told(database)
    assert (event.topic, event.type, event.key, event.subject) == ("prices", "bazaar.pricing.v1.PriceChanged", "tv", "tv/USD")
    assert (event.aggregate_version, event.occurred_at) == (1, NOW)
    assert events_pb2.PriceEvent.FromString(event.payload).price_changed == events_pb2.PriceChanged(sku="tv", amount=usd(1000))


async def test_a_changed_price_is_told_with_what_it_was(database: Database):
    store = PriceStore(database)
    await store.set_prices([Price("tv", "USD", 1000)], NOW)
    await store.set_prices([Price("tv", "USD", 900)], LATER)

    [_, event] = await told(database)
    expected = events_pb2.PriceChanged(sku="tv", amount=usd(900), previous_amount=usd(1000))
    assert (event.aggregate_version, events_pb2.PriceEvent.FromString(event.payload).price_changed) == (2, expected)


async def test_the_same_price_again_is_not_told(database: Database):
    store = PriceStore(database)
    await store.set_prices([Price("tv", "USD", 1000), Price("pen", "USD", 5)], NOW)
    await store.set_prices([Price("tv", "USD", 1000), Price("pen", "USD", 6)], LATER)

    assert [(event.subject, event.aggregate_version) for event in await told(database)] == [("pen/USD", 1), ("tv/USD", 1), ("pen/USD", 2)]


async def test_each_currency_has_a_version_of_its_own(database: Database):
    store = PriceStore(database)
    await store.set_prices([Price("tv", "USD", 1000), Price("tv", "INR", 80_000)], NOW)
    await store.set_prices([Price("tv", "INR", 79_000)], LATER)

    assert [(event.subject, event.aggregate_version) for event in await told(database)] == [("tv/USD", 1), ("tv/INR", 1), ("tv/INR", 2)]


async def test_rivals_tell_each_change_with_what_the_one_before_made(database: Database):
    store = PriceStore(database)
    await store.set_prices([Price("tv", "USD", 0)], NOW)
    await asyncio.gather(*(store.set_prices([Price("tv", "USD", amount)], NOW) for amount in (1, 2, 3)))

    changes = [events_pb2.PriceEvent.FromString(event.payload).price_changed for event in await told(database)][1:]
    assert [change.previous_amount for change in changes] == [usd(0), changes[0].amount, changes[1].amount]
    assert [event.aggregate_version for event in await told(database)] == [1, 2, 3, 4]


def usd(minor_units: int) -> Money:
    return Money(currency_code="USD", minor_units=minor_units)
