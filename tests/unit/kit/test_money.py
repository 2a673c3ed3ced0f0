import operator
from collections.abc import Callable

import pytest

from services.kit.money import CurrencyMismatch, Money, UnknownCurrency, exponent, zero


def test_amounts_of_one_currency_add_and_subtract():
    assert Money("INR", 129_900) + Money("INR", 100) - Money("INR", 30_000) == Money("INR", 100_000)


def test_an_amount_times_a_quantity():
    assert Money("INR", 49_950) * 3 == Money("INR", 149_850)


def test_a_refund_is_the_negative_amount():
    assert -Money("INR", 500) == Money("INR", -500)


def test_a_sum_starts_from_zero():
    assert sum([Money("JPY", 5), Money("JPY", 7)], start=zero("JPY")) == Money("JPY", 12)


def test_amounts_are_ordered_by_their_minor_units():
    assert sorted([Money("INR", 3), Money("INR", -1), Money("INR", 2)]) == [Money("INR", -1), Money("INR", 2), Money("INR", 3)]


@pytest.mark.parametrize("operation", [operator.add, operator.sub, operator.lt, operator.le, operator.gt, operator.ge])
def test_two_currencies_do_not_mix(operation: Callable[[Money, Money], object]):
    with pytest.raises(CurrencyMismatch) as caught:
        operation(Money("INR", 1), Money("USD", 1))

    assert caught.value.metadata == {"left": "INR", "right": "USD"}


def test_the_same_number_in_another_currency_is_not_equal():
    assert Money("INR", 1) != Money("USD", 1)


@pytest.mark.parametrize(("currency", "digits"), [("INR", 2), ("USD", 2), ("JPY", 0), ("KWD", 3), ("CLF", 4)])
def test_decimals_are_those_of_iso_4217(currency: str, digits: int):
    assert exponent(currency) == digits


@pytest.mark.parametrize("currency", ["", "inr", "XYZ"])
def test_an_unknown_currency_has_no_decimals(currency: str):
    with pytest.raises(UnknownCurrency):
        exponent(currency)


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (Money("INR", 129_900), "INR 1299.00"),
        (Money("INR", -5), "INR -0.05"),
        (Money("JPY", -1200), "JPY -1200"),
        (Money("KWD", 1_005), "KWD 1.005"),
    ],
)
def test_an_amount_is_shown_with_its_decimals(amount: Money, shown: str):
    assert amount.display() == shown
