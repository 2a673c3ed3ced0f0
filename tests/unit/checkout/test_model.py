"""The rules of placing an order."""

from __future__ import annotations

import pytest

from services.checkout.model import PriceChanged, QuoteInvalid, TotalInvalid, check_expected, check_purpose, method_class, total_by_sku
from services.kit.money import CurrencyMismatch, Money

PURPOSE = {"country": "IN", "state": "KA", "coupon": "", "method class": "ON_DELIVERY", "lines": "tv=1"}


def test_quantities_of_one_sku_are_added_up_in_the_order_the_skus_came():
    totals = total_by_sku([("tv", 1), ("rice", 2), ("tv", 3)])

    assert list(totals.items()) == [("tv", 4), ("rice", 2)]


def test_nothing_adds_up_to_nothing():
    assert total_by_sku([]) == {}


@pytest.mark.parametrize(
    ("method", "wanted"),
    [
        ("COD", "ON_DELIVERY"),
        ("UPI", "PREPAID"),
        ("CARD", "PREPAID"),
        ("NET_BANKING", "PREPAID"),
        ("WALLET", "PREPAID"),
        ("PAY_LATER", "PREPAID"),
    ],
)
def test_a_price_depends_on_whether_it_is_paid_on_delivery(method: str, wanted: str):
    assert method_class(method) == wanted


@pytest.mark.parametrize("expected", [None, Money("USD", 100)])
def test_a_total_that_is_expected_or_not_named_passes(expected: Money | None):
    check_expected(Money("USD", 100), expected)


@pytest.mark.parametrize("expected", [Money("USD", 99), Money("USD", 101), Money("USD", 0)])
def test_another_amount_than_expected_is_refused(expected: Money):
    with pytest.raises(PriceChanged) as refused:
        check_expected(Money("USD", 100), expected)

    assert refused.value.metadata == {"expected": f"{expected.minor_units} {expected.currency}", "total": "100 USD"}


def test_a_total_expected_in_another_currency_is_refused():
    with pytest.raises(CurrencyMismatch) as refused:
        check_expected(Money("USD", 100), Money("INR", 100))

    assert refused.value.metadata == {"wanted": "INR", "priced": "USD"}


def test_a_negative_total_is_refused():
    with pytest.raises(TotalInvalid) as refused:
        check_expected(Money("USD", 100), Money("USD", -1))

    assert refused.value.metadata == {"expected": "-1 USD"}


def test_a_quote_for_this_purchase_passes():
    check_purpose(PURPOSE, dict(PURPOSE))


@pytest.mark.parametrize("aspect", list(PURPOSE))
def test_a_quote_for_another_purchase_is_refused_by_its_first_difference(aspect: str):
    with pytest.raises(QuoteInvalid) as refused:
        check_purpose({**PURPOSE, aspect: "another"}, PURPOSE)

    assert refused.value.metadata == {"why": aspect}
