"""What no cart, order or price may be: the status and the reason, and that nothing has changed."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.flow.edge.client import ADDRESS, PASSWORD, Edge, order_of, refusal, usd
from tests.flow.edge.conftest import SHIRT, Household

pytestmark = [pytest.mark.edge, pytest.mark.usefixtures("unchanged")]

S, M = f"{SHIRT}-s", f"{SHIRT}-m"
INVALID = (400, "VALIDATION_FAILED")
ITEM = {"sku": S, "quantity": 1}
NOBODYS = "c0ffee00-0000-4000-8000-000000000000"
"""The id of nothing. Not a new one each time: every worker is to find the same tests."""
QUANTITIES = [0, -1, 10**9, 10**12, "two", 1.5, True, [1], {"value": 1}, None]


@pytest.mark.parametrize("quantity", QUANTITIES, ids=repr)
def test_a_cart_takes_no_such_quantity(edge: Edge, buyer: Household, quantity: Any):
    answer = edge.call("POST", f"/v1/carts/{buyer.cart_id}/items", {"sku": S, "quantity": quantity}, user=buyer.owner)

    assert refusal(answer) == INVALID


@pytest.mark.parametrize("quantity", [0, -1, 10**9, "two", 1.5], ids=repr)
def test_an_items_quantity_cannot_be_set_to(edge: Edge, buyer: Household, quantity: Any):
    assert refusal(edge.call("PUT", f"/v1/carts/{buyer.cart_id}/items/{M}", {"quantity": quantity}, user=buyer.owner)) == INVALID


@pytest.mark.parametrize("quantity", [0, -1, 10**9, "two", 1.5], ids=repr)
def test_an_order_takes_no_such_quantity(edge: Edge, buyer: Household, quantity: Any):
    body = order_of(buyer.owner, lines=[{"sku": S, "quantity": quantity}])

    assert refusal(edge.call("POST", "/v1/orders", body, user=buyer.owner)) == INVALID


@pytest.mark.parametrize(
    ("path", "body", "wanted"),
    [
        ("items", {"sku": "edge-none", "quantity": 1}, (404, "SKU_NOT_FOUND")),
        ("items", {"productId": "edge-none", "quantity": 1}, (404, "PRODUCT_NOT_FOUND")),
        ("items", {"productId": SHIRT, "quantity": 1}, (400, "SKU_AMBIGUOUS")),
        ("items", {**ITEM, "productId": SHIRT}, INVALID),
        ("items", {"quantity": 1}, INVALID),
        ("items", {"sku": "s" * 129, "quantity": 1}, INVALID),
        ("items", {"sku": "a b", "quantity": 1}, INVALID),
        ("items", {"sku": S, "quantity": 10_001}, (400, "OUT_OF_STOCK")),
    ],
)
def test_a_cart_takes_only_what_is_on_sale(edge: Edge, buyer: Household, path: str, body: dict[str, Any], wanted: tuple[int, str]):
    assert refusal(edge.call("POST", f"/v1/carts/{buyer.cart_id}/{path}", body, user=buyer.owner)) == wanted


def test_an_item_that_is_not_in_the_cart_has_no_quantity(edge: Edge, buyer: Household):
    answer = edge.call("PUT", f"/v1/carts/{buyer.cart_id}/items/{S}", {"quantity": 1}, user=buyer.owner)

    assert refusal(answer) == (404, "ITEM_NOT_IN_CART")


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"lines": [{"sku": "edge-none", "quantity": 1}]}, (404, "SKU_NOT_FOUND")),
        ({"lines": [{"sku": S, "quantity": 20_000}]}, (400, "OUT_OF_STOCK")),
        ({"lines": [{"sku": S, "quantity": 1}] * 101}, INVALID),
        ({"expectedTotal": usd(1)}, (400, "PRICE_CHANGED")),
        ({"expectedTotal": usd(-1)}, (400, "PRICE_INVALID")),
        ({"expectedTotal": {"currencyCode": "EUR", "minorUnits": "1999"}}, (400, "CURRENCY_MISMATCH")),
        ({"expectedTotal": {"currencyCode": "usd", "minorUnits": "1999"}}, INVALID),
        ({"expectedTotal": usd(2**63)}, INVALID),
        ({"expectedTotal": usd("19.99")}, INVALID),
        ({"paymentMethod": "WALLET"}, (400, "PAYMENT_METHOD_UNSUPPORTED")),
        ({"paymentMethod": "GOLD"}, INVALID),
        ({"paymentMethod": 99}, INVALID),
        ({"paymentMethod": ""}, INVALID),
        ({"couponCode": "SALE10"}, (400, "COUPON_INVALID")),
        ({"couponCode": "c" * 65}, INVALID),
        ({"addressId": NOBODYS}, (404, "ADDRESS_NOT_FOUND")),
        ({"addressId": "home"}, INVALID),
        ({"cartId": NOBODYS, "lines": []}, (404, "CART_NOT_FOUND")),
        ({"cartId": NOBODYS}, INVALID),
        ({"signedQuote": {"payload": "AAAA", "keyId": "k", "mac": "AAAA"}}, (400, "QUOTE_INVALID")),
    ],
    ids=str,
)
def test_no_order_with(edge: Edge, buyer: Household, fields: dict[str, Any], wanted: tuple[int, str]):
    body = {**order_of(buyer.owner, S), **fields}

    assert refusal(edge.call("POST", "/v1/orders", body, user=buyer.owner, key=uuid.uuid4().hex)) == wanted


def test_no_order_of_an_empty_cart(edge: Edge, stranger: Household):
    nobody = edge.customer()
    body = order_of(nobody, cartId=edge.cart(nobody))

    assert refusal(edge.call("POST", "/v1/orders", body, user=nobody)) == (400, "CART_EMPTY")


def test_no_order_with_a_quote_made_for_somebody_else(edge: Edge, buyer: Household, stranger: Household):
    ask = {"lines": [{"sku": S, "quantity": 1}], "country": "IN", "state": "KA", "methodClass": "ON_DELIVERY"}
    quote = edge.ok("POST", "/v1/quotes", ask, user=stranger.owner)["signedQuote"]
    body = order_of(buyer.owner, S, signedQuote=quote)

    assert refusal(edge.call("POST", "/v1/orders", body, user=buyer.owner)) == (400, "QUOTE_INVALID")


@pytest.mark.parametrize(
    ("amount", "reason"),
    [
        (usd(-1), "PRICE_INVALID"),
        ({"currencyCode": "XXY", "minorUnits": "1"}, "CURRENCY_UNKNOWN"),
        ({"currencyCode": "usd", "minorUnits": "1"}, "VALIDATION_FAILED"),
        (usd(2**63), "VALIDATION_FAILED"),
        (None, "VALIDATION_FAILED"),
    ],
)
def test_no_such_price(edge: Edge, amount: Any, reason: str):
    prices = [{"sku": S, "amount": usd(5)}, {"sku": M, "amount": amount}]

    assert refusal(edge.call("POST", "/v1/prices:batchSet", {"prices": prices}, user=edge.admin)) == (400, reason)


def test_shipping_never_costs_less_than_nothing(edge: Edge):
    rate = {"country": "DE", "base": usd(-1), "perKilogram": usd(0), "freeFrom": usd(0)}

    assert refusal(edge.call("PUT", "/v1/shippingRates", rate, user=edge.admin)) == (400, "PRICE_INVALID")


def test_no_quote_in_a_currency_without_a_price(edge: Edge):
    body = {"lines": [ITEM], "country": "IN", "currency": "EUR"}

    assert refusal(edge.call("POST", "/v1/quotes", body)) == (400, "PRICE_NOT_FOUND")


@pytest.mark.parametrize(
    ("path", "body", "wanted"),
    [
        ("receive", {"sku": S, "quantity": -1}, INVALID),
        ("receive", {"sku": S, "quantity": 10**13}, INVALID),
        ("adjust", {"sku": S, "units": -(10**6), "reason": "lost"}, (400, "STOCK_BELOW_ZERO")),
        ("adjust", {"sku": S, "units": 1, "reason": ""}, INVALID),
        ("transfer", {"sku": S, "fromWarehouseId": "main", "toWarehouseId": "north", "quantity": 10**6}, (400, "STOCK_BELOW_ZERO")),
        ("transfer", {"sku": S, "fromWarehouseId": "main", "toWarehouseId": "main", "quantity": 1}, INVALID),
    ],
)
def test_stock_is_not_made_up(edge: Edge, path: str, body: dict[str, Any], wanted: tuple[int, str]):
    assert refusal(edge.call("POST", f"/v1/inventory/{path}", body, user=edge.admin)) == wanted


# Sums that would not fit


def test_over_long_texts_are_refused(edge: Edge, buyer: Household):
    url = f"/v1/users/{buyer.owner.user_id}/addresses"
    fields = {"line1": 201, "line2": 201, "city": 101, "state": 101, "pincode": 21}
    answers = [edge.call("POST", url, {**ADDRESS, field: "x" * length}, user=buyer.owner) for field, length in fields.items()]

    assert [refusal(answer) for answer in answers] == [INVALID] * 5


def test_an_over_long_registration_is_refused(edge: Edge):
    good = {"email": f"{uuid.uuid4().hex}@example.org", "password": PASSWORD, "firstName": "A"}
    bad = [{"email": "a" * 250 + "@b.org"}, {"password": "p" * 201}, {"password": "short"}, {"firstName": "n" * 101}, {"email": "nobody"}]
    answers = [edge.call("POST", "/v1/users/register", {**good, **fields}) for fields in bad]

    assert [refusal(answer) for answer in answers] == [INVALID] * 5
    assert refusal(edge.call("POST", "/v1/users/login", {"email": good["email"], "password": PASSWORD})) == (401, "CREDENTIALS_INVALID")


def test_an_email_is_registered_once(edge: Edge, buyer: Household):
    body = {"email": buyer.owner.email.upper(), "password": "another password"}

    assert refusal(edge.call("POST", "/v1/users/register", body)) == (409, "EMAIL_TAKEN")


# States


def test_a_cancelled_order_stays_cancelled(edge: Edge):
    somebody = edge.customer()
    url = f"/v1/orders/{edge.order(somebody, 'edge-tv')['orderId']}:cancel"
    cancelled = edge.ok("POST", url, {}, user=somebody)

    assert edge.ok("POST", url, {}, user=somebody) == cancelled


def test_a_stale_etag_changes_nothing(edge: Edge, buyer: Household):
    body = {"title": "Mine", "etag": "stale"}
    answer = edge.call("PATCH", f"/v1/products/{SHIRT}?updateMask=title", body, user=edge.admin)

    assert refusal(answer) == (409, "ETAG_MISMATCH")
