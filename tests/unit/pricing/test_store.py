from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from services.kit.database import Database
from services.pricing.model import Price, ShippingRate, TaxRate
from services.pricing.store import PriceStore, RateStore

NOW = datetime(2026, 5, 2, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


async def test_prices_are_read_as_they_were_set(database: Database) -> None:
    store = PriceStore(database)

    await store.set_prices([Price("a", "USD", 10), Price("b", "INR", 2**63 - 1)], NOW)

    assert await store.prices(["b", "a", "nope", "nul\0"]) == [(Price("a", "USD", 10), NOW), (Price("b", "INR", 2**63 - 1), NOW)]


async def test_the_currency_that_was_set_first_comes_first(database: Database) -> None:
    store = PriceStore(database)
    await store.set_prices([Price("a", "USD", 10), Price("a", "EUR", 9)], NOW)

    await store.set_prices([Price("a", "INR", 800), Price("a", "USD", 11)], LATER)

    assert await store.prices(["a"]) == [(Price("a", "USD", 11), LATER), (Price("a", "EUR", 9), NOW), (Price("a", "INR", 800), LATER)]


async def test_those_who_ask_at_once_get_each_their_own(database: Database) -> None:
    store = PriceStore(database)
    await store.set_prices([Price("a", "USD", 10), Price("b", "USD", 20)], NOW)
    a, b = (Price("a", "USD", 10), NOW), (Price("b", "USD", 20), NOW)

    assert await asyncio.gather(store.prices(["b"]), store.prices(["b", "a", "b"]), store.prices(["c"])) == [[b], [a, b], []]


async def test_of_two_prices_of_a_sku_in_one_currency_the_last_holds(database: Database) -> None:
    store = PriceStore(database)

    await store.set_prices([Price("a", "USD", 10), Price("a", "USD", 12)], NOW)

    assert await store.prices(["a"]) == [(Price("a", "USD", 12), NOW)]


async def test_a_batch_with_a_price_that_the_table_refuses_sets_none(database: Database) -> None:
    store = PriceStore(database)

    with pytest.raises(psycopg.errors.CheckViolation):
        await store.set_prices([Price("a", "USD", 10), Price("b", "USD", -1)], NOW)

    assert await store.prices(["a", "b"]) == []


async def test_batches_of_the_same_skus_in_other_orders_all_succeed(database: Database) -> None:
    store = PriceStore(database)
    skus = [f"s{number}" for number in range(200)]

    await asyncio.gather(
        *(store.set_prices([Price(sku, "USD", number) for sku in (skus if number % 2 else skus[::-1])], NOW) for number in range(6))
    )

    found = await store.prices(skus)
    assert len(found) == 200
    assert len({price.minor_units for price, _ in found}) == 1


@pytest.mark.parametrize(
    ("country", "state", "tax_class", "basis_points"),
    [
        ("IN", "KA", "standard", 1800),
        ("IN", "KA", "reduced", 500),
        ("IN", "KA", "exempt", 0),
        ("DE", "", "standard", 1900),
        ("DE", "BE", "reduced", 700),
        ("GB", "", "standard", 2000),
        ("US", "CA", "standard", 725),
        ("US", "CA", "exempt", 0),
        ("US", "OR", "standard", 0),
        ("BR", "SP", "standard", 0),
    ],
)
async def test_a_new_shop_knows_a_few_taxes(database: Database, country: str, state: str, tax_class: str, basis_points: int) -> None:
    assert (await RateStore(database).rates()).tax_rate(country, state, tax_class) == basis_points


async def test_a_new_shop_ships_anything_anywhere(database: Database) -> None:
    rates = await RateStore(database).rates()

    assert rates.shipping_rate("IN", "INR") == ShippingRate("IN", "INR", 4900, 1500, 49900)
    assert rates.shipping_rate("BR", "JPY") == ShippingRate("*", "XXX", 0, 0, 0)


async def test_a_rate_that_is_set_is_listed_and_applies_at_once_where_it_was_set(database: Database) -> None:
    store = RateStore(database)
    await store.rates()

    await store.set_tax_rate(TaxRate("FR", "*", "*", 2000))
    await store.set_tax_rate(TaxRate("FR", "*", "*", 2100))
    await store.set_shipping_rate(ShippingRate("FR", "EUR", 1, 2, 3))
    await store.set_shipping_rate(ShippingRate("FR", "EUR", 4, 5, 6))

    assert [rate for rate in await store.tax_rates() if rate.country == "FR"] == [TaxRate("FR", "*", "*", 2100)]
    assert [rate for rate in await store.shipping_rates() if rate.country == "FR"] == [ShippingRate("FR", "EUR", 4, 5, 6)]
    rates = await store.rates()
    assert (rates.tax_rate("FR", "", "standard"), rates.shipping_rate("FR", "EUR").base) == (2100, 4)


async def test_rates_are_read_again_when_they_are_a_second_old(database: Database) -> None:
    times = [1000.0]
    here, elsewhere = RateStore(database, monotonic=lambda: times[0]), RateStore(database)
    await here.rates()
    await elsewhere.set_tax_rate(TaxRate("FR", "*", "*", 2000))

    times[0] = 1000.9
    before = (await here.rates()).tax_rate("FR", "", "standard")
    times[0] = 1001.0
    after = (await here.rates()).tax_rate("FR", "", "standard")

    assert (before, after) == (0, 2000)
