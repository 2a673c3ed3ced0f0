from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kit.money import CurrencyMismatch, UnknownCurrency
from services.pricing.model import (
    CouponInvalid,
    Good,
    Price,
    PriceInvalid,
    PriceNotFound,
    QuantityTooLarge,
    Rates,
    ShippingRate,
    TaxRate,
    add_up,
    bill,
    check_price,
    refuse_coupon,
    share,
    shipping_cost,
    shipping_rate_of,
    unit_prices,
)

RATES = Rates.of(
    [
        TaxRate("*", "*", "*", 1),
        TaxRate("*", "*", "books", 2),
        TaxRate("*", "CA", "*", 3),
        TaxRate("*", "CA", "books", 4),
        TaxRate("US", "*", "*", 5),
        TaxRate("US", "*", "books", 6),
        TaxRate("US", "ca", "*", 7),
        TaxRate("US", "NY", "books", 8),
    ],
    [
        ShippingRate("*", "XXX", 1, 0, 0),
        ShippingRate("IN", "XXX", 2, 0, 0),
        ShippingRate("*", "INR", 3, 0, 0),
        ShippingRate("IN", "INR", 4, 0, 0),
    ],
)
NO_RATES = Rates.of([], [])


def a_good(sku: str, tax_class: str = "standard", weight_grams: int = 0) -> Good:
    return Good(sku, f"product-{sku}", sku.upper(), "toys", tax_class, weight_grams)


@pytest.mark.parametrize(
    ("region", "basis_points"),
    [
        (("US", "NY", "books"), 8),
        # The state is asked before the class: CA's own row for everything decides over the country's row for books.
        (("US", "CA", "books"), 7),
        (("US", "CA", "food"), 7),
        (("US", "NY", "food"), 5),
        (("US", "TX", "books"), 6),
        (("US", "", "food"), 5),
        # The country is asked before the state.
        (("MX", "CA", "books"), 4),
        (("MX", "CA", "food"), 3),
        (("MX", "DF", "books"), 2),
        (("MX", "DF", "food"), 1),
    ],
)
def test_the_most_specific_tax_rate_applies_country_before_state_before_class(region: tuple[str, str, str], basis_points: int) -> None:
    assert RATES.tax_rate(*region) == basis_points


@pytest.mark.parametrize("state", ["CA", "ca", " Ca "])
def test_a_state_matches_in_any_case(state: str) -> None:
    assert RATES.tax_rate("US", state, "food") == 7


def test_without_a_row_there_is_no_tax() -> None:
    assert NO_RATES.tax_rate("US", "CA", "books") == 0


@pytest.mark.parametrize(
    ("country", "currency", "base"),
    [("IN", "INR", 4), ("US", "INR", 3), ("IN", "USD", 2), ("US", "USD", 1)],
)
def test_the_most_specific_shipping_rate_applies_currency_before_country(country: str, currency: str, base: int) -> None:
    assert RATES.shipping_rate(country, currency).base == base


def test_without_a_row_shipping_is_free() -> None:
    assert shipping_cost(NO_RATES.shipping_rate("US", "USD"), 100, 5000) == 0


@pytest.mark.parametrize(
    ("amount", "basis_points", "expected"),
    [
        (1000, 1800, 180),
        (0, 1800, 0),
        (25, 200, 0),
        (75, 200, 2),
        (125, 200, 2),
        (26, 200, 1),
        (24, 200, 0),
        (1999, 10_000, 1999),
        (1, 5000, 0),
        (3, 5000, 2),
    ],
)
def test_a_share_is_rounded_half_to_even(amount: int, basis_points: int, expected: int) -> None:
    assert share(amount, basis_points) == expected


@given(st.integers(0, 2**63 - 1), st.integers(0, 10_000))
def test_a_share_is_exact(amount: int, basis_points: int) -> None:
    exact = Decimal(amount * basis_points).scaleb(-4)

    assert share(amount, basis_points) == exact.quantize(Decimal(1), ROUND_HALF_EVEN)


@pytest.mark.parametrize(("grams", "cost"), [(0, 100), (1, 130), (1000, 130), (1001, 160), (2500, 190)])
def test_a_kilogram_begun_counts_whole(grams: int, cost: int) -> None:
    assert shipping_cost(ShippingRate("IN", "INR", 100, 30, 0), 50, grams) == cost


@pytest.mark.parametrize(("goods", "cost"), [(499, 100), (500, 0), (501, 0)])
def test_goods_worth_the_threshold_ship_free(goods: int, cost: int) -> None:
    assert shipping_cost(ShippingRate("IN", "INR", 100, 30, 500), goods, 0) == cost


def test_lines_of_one_sku_are_added_up_in_the_order_of_their_first() -> None:
    assert list(add_up([("b", 1), ("a", 2), ("b", 3)]).items()) == [("b", 4), ("a", 2)]


def test_an_order_has_at_most_100000_units_of_a_sku() -> None:
    assert add_up([("a", 99_999), ("a", 1)]) == {"a": 100_000}
    with pytest.raises(QuantityTooLarge) as refused:
        add_up([("a", 100_000), ("a", 1)])

    assert (refused.value.reason, refused.value.violations) == ("VALIDATION_FAILED", (("lines", "more than 100000 units of a in all"),))


def test_no_coupon_is_known() -> None:
    refuse_coupon("")
    with pytest.raises(CouponInvalid) as refused:
        refuse_coupon("SALE10")

    assert (refused.value.reason, refused.value.metadata) == ("COUPON_INVALID", {"coupon": "SALE10"})


PRICES = [Price("a", "USD", 10), Price("a", "EUR", 9), Price("b", "EUR", 5)]


def test_prices_are_in_the_wanted_currency() -> None:
    assert unit_prices(["a", "b"], PRICES, "EUR") == ("EUR", {"a": 9, "b": 5})


def test_without_a_wanted_currency_the_first_line_decides() -> None:
    assert unit_prices(["b", "a"], PRICES, "") == ("EUR", {"b": 5, "a": 9})


def test_a_sku_without_a_price_in_the_orders_currency_is_refused() -> None:
    with pytest.raises(PriceNotFound) as refused:
        unit_prices(["a", "b"], PRICES, "")

    assert (refused.value.reason, refused.value.metadata) == ("PRICE_NOT_FOUND", {"sku": "b", "currency": "USD"})


def test_a_first_sku_without_any_price_is_refused() -> None:
    with pytest.raises(PriceNotFound) as refused:
        unit_prices(["x", "a"], PRICES, "")

    assert refused.value.metadata == {"sku": "x", "currency": ""}


def test_an_unknown_currency_is_refused() -> None:
    with pytest.raises(UnknownCurrency) as refused:
        unit_prices(["a"], PRICES, "XXY")

    assert refused.value.reason == "CURRENCY_UNKNOWN"


def test_a_bill_is_exact_to_the_last_unit() -> None:
    rates = Rates.of([TaxRate("IN", "*", "*", 1800), TaxRate("IN", "*", "reduced", 500)], [ShippingRate("IN", "INR", 4900, 1500, 0)])
    goods = {"tv": a_good("tv", weight_grams=700), "book": a_good("book", "reduced", weight_grams=400)}

    made = bill({"tv": 2, "book": 3}, goods, {"tv": 129_900, "book": 333}, "INR", rates, "IN", "KA")

    assert [(line.good.sku, line.quantity, line.net, line.tax) for line in made.lines] == [("tv", 2, 259_800, 46_764), ("book", 3, 999, 50)]
    # 2.6 kg: three begun.
    assert (made.subtotal, made.shipping, made.tax, made.total) == (260_799, 4900 + 3 * 1500, 46_814, 317_013)


def test_a_total_fits_into_64_bits() -> None:
    goods = {"a": a_good("a")}

    assert bill({"a": 1}, goods, {"a": 2**63 - 1}, "INR", NO_RATES, "IN", "").total == 2**63 - 1
    with pytest.raises(PriceInvalid) as refused:
        bill({"a": 2}, goods, {"a": 2**62}, "INR", NO_RATES, "IN", "")

    assert (refused.value.reason, refused.value.metadata) == ("PRICE_INVALID", {"sku": "a"})


ORDERS = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 100_000), min_size=1)


@given(ORDERS, st.data())
def test_a_bill_adds_up_and_nothing_in_it_is_negative(units: dict[str, int], data: st.DataObject) -> None:
    prices = {sku: data.draw(st.integers(0, 10**10)) for sku in units}
    goods = {sku: a_good(sku, weight_grams=data.draw(st.integers(0, 10**7))) for sku in units}
    rates = Rates.of(
        [TaxRate("*", "*", "*", data.draw(st.integers(0, 10_000)))],
        [ShippingRate("*", "XXX", *(data.draw(st.integers(0, 10**6)) for _ in range(3)))],
    )

    made = bill(units, goods, prices, "USD", rates, "US", "")

    assert made.subtotal == sum(line.net for line in made.lines) == sum(prices[sku] * units[sku] for sku in units)
    assert made.tax == sum(line.tax for line in made.lines)
    assert made.total == made.subtotal + made.shipping + made.tax
    assert min(made.subtotal, made.shipping, made.tax, *(line.tax for line in made.lines)) >= 0


@given(ORDERS, st.integers(0, 10_000))
def test_the_order_of_lines_changes_no_amount(units: dict[str, int], basis_points: int) -> None:
    rates = Rates.of([TaxRate("*", "*", "*", basis_points)], [])
    goods, prices = {sku: a_good(sku) for sku in units}, {sku: 333 * ord(sku) for sku in units}

    there, back = (bill(order, goods, prices, "USD", rates, "US", "") for order in (units, dict(reversed(units.items()))))

    assert (there.subtotal, there.tax, there.total) == (back.subtotal, back.tax, back.total)


def test_a_price_may_be_zero_but_not_negative() -> None:
    check_price(Price("a", "USD", 0))
    with pytest.raises(PriceInvalid) as refused:
        check_price(Price("a", "USD", -1))

    assert (refused.value.reason, refused.value.metadata) == ("PRICE_INVALID", {"sku": "a"})


@pytest.mark.parametrize("currency", ["XXY", "XXX"])
def test_a_price_has_a_real_currency(currency: str) -> None:
    with pytest.raises(UnknownCurrency):
        check_price(Price("a", currency, 1))


def test_a_shipping_rate_is_of_one_currency_or_of_any() -> None:
    assert shipping_rate_of("IN", [("INR", 1), ("INR", 2), ("INR", 3)]) == ShippingRate("IN", "INR", 1, 2, 3)
    assert shipping_rate_of("*", [("XXX", 1), ("XXX", 2), ("XXX", 3)]) == ShippingRate("*", "XXX", 1, 2, 3)
    with pytest.raises(CurrencyMismatch) as refused:
        shipping_rate_of("IN", [("INR", 1), ("USD", 2), ("INR", 3)])

    assert refused.value.reason == "CURRENCY_MISMATCH"


def test_a_shipping_rate_is_not_negative() -> None:
    with pytest.raises(PriceInvalid):
        shipping_rate_of("IN", [("INR", 1), ("INR", -2), ("INR", 3)])


def test_a_shipping_rate_has_a_real_currency() -> None:
    with pytest.raises(UnknownCurrency):
        shipping_rate_of("IN", [("XXY", 1), ("XXY", 2), ("XXY", 3)])
