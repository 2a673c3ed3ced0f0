"""What answers and errors look like in JSON."""

from __future__ import annotations

import uuid

import pytest

from tests.flow.edge.client import Customer, Edge, order_of, usd
from tests.flow.edge.conftest import SHIRT, TV

pytestmark = pytest.mark.edge


def test_names_are_in_lower_camel_case(edge: Edge, shopper: Customer):
    order = edge.order(shopper, TV)

    assert {"orderId", "paymentMethod", "createTime", "confirmTime"} <= order.keys()
    assert [name for name in order if "_" in name] == []


def test_whole_numbers_of_64_bits_are_strings_and_of_32_bits_numbers(edge: Edge, shopper: Customer):
    order = edge.order(shopper, TV)

    assert (order["version"], order["lines"][0]["netAmount"], order["lines"][0]["quantity"]) == ("3", usd(1999), 1)


def test_a_number_may_be_sent_as_a_string(edge: Edge, shopper: Customer):
    line = {"sku": TV, "quantity": "2"}
    quote = edge.ok("POST", "/v1/quotes", {"lines": [line], "country": "ZZ"}, user=shopper)["quote"]

    assert (quote["lines"][0]["quantity"], quote["userId"]) == (2, shopper.user_id)


def test_enums_are_names(edge: Edge, shopper: Customer):
    order = edge.order(shopper, TV)

    assert [entry["state"] for entry in order["timeline"]] == ["CREATED", "PAYMENT_PENDING", "CONFIRMED"]


def test_an_empty_field_is_shown(edge: Edge):
    product = edge.ok("GET", f"/v1/products/{SHIRT}")["product"]

    assert (product["brand"], product["imageUrls"]) == ("", [])


def test_times_are_in_utc(edge: Edge, shopper: Customer):
    assert edge.order(shopper, TV)["createTime"].endswith("Z")


def test_an_error_says_what_why_and_where(edge: Edge):
    answer = edge.call("GET", "/v1/products/edge-none")

    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/json")
    assert answer.json() == {
        "code": 5,
        "message": "no such product",
        "details": [
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "PRODUCT_NOT_FOUND",
                "domain": "bazaar.dev",
                "metadata": {"product_id": "edge-none"},
            }
        ],
    }


def test_a_field_that_breaks_a_rule_is_named(edge: Edge, shopper: Customer):
    lines = [{"sku": TV, "quantity": 0}]
    [info, request] = edge.call("POST", "/v1/orders", {**order_of(shopper), "lines": lines}, user=shopper).json()["details"]

    assert info["reason"] == "VALIDATION_FAILED"
    assert [violation["field"] for violation in request["fieldViolations"]] == ["lines[0].quantity"]


def test_a_changed_price_comes_with_the_new_quote(edge: Edge, shopper: Customer):
    body = order_of(shopper, TV, expectedTotal=usd(1))
    error = edge.call("POST", "/v1/orders", body, user=shopper, key=uuid.uuid4().hex).json()

    [quote] = [detail for detail in error["details"] if detail["@type"].endswith("bazaar.pricing.v1.CreateQuoteResponse")]
    signed, total = quote["signedQuote"], quote["quote"]["total"]
    assert edge.ok("POST", "/v1/orders", order_of(shopper, TV, signedQuote=signed), user=shopper)["order"]["total"] == total


def test_a_repeat_with_the_same_key_gets_the_same_answer(edge: Edge, shopper: Customer):
    key = uuid.uuid4().hex

    assert edge.order(shopper, TV, key=key) == edge.order(shopper, TV, key=key)
