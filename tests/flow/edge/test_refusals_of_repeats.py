"""Idempotency keys, page tokens and queries that are refused: the status and the reason, and that nothing has changed."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.flow.edge.client import ADDRESS, Edge, order_of, refusal
from tests.flow.edge.conftest import SHIRT, Household

pytestmark = [pytest.mark.edge, pytest.mark.usefixtures("unchanged")]

S, M = f"{SHIRT}-s", f"{SHIRT}-m"
INVALID = (400, "VALIDATION_FAILED")
ITEM = {"sku": S, "quantity": 1}
LONG_KEY = "k" * 129


def test_the_same_key_with_another_body_is_refused(edge: Edge):
    somebody, key = edge.customer(), uuid.uuid4().hex
    first = edge.order(somebody, "edge-tv", key=key)
    answer = edge.call("POST", "/v1/orders", order_of(somebody, "edge-lamp"), user=somebody, key=key)

    assert refusal(answer) == (400, "REQUEST_ID_REUSED")
    assert [order["orderId"] for order in edge.ok("GET", "/v1/orders", user=somebody)["orders"]] == [first["orderId"]]


def test_one_key_of_two_people_is_two_keys(edge: Edge, shopper: Any):
    somebody, key = edge.customer(), uuid.uuid4().hex

    assert edge.order(somebody, "edge-tv", key=key)["orderId"] != edge.order(shopper, "edge-tv", key=key)["orderId"]


@pytest.mark.parametrize("path", ["/v1/orders", "/v1/carts/{cart_id}/items"])
def test_a_key_in_header_and_body_must_be_one(edge: Edge, buyer: Household, path: str):
    body = {**(order_of(buyer.owner, S) if "orders" in path else ITEM), "requestId": "one"}
    answer = edge.call("POST", path.format(cart_id=buyer.cart_id), body, user=buyer.owner, key="another")

    assert refusal(answer) == (400, "REQUEST_ID_MISMATCH")


def test_a_key_is_not_over_long(edge: Edge, buyer: Household):
    assert refusal(edge.call("POST", "/v1/orders", order_of(buyer.owner, S), user=buyer.owner, key=LONG_KEY)) == INVALID


# Pages


def test_a_page_token_of_another_query_is_refused(edge: Edge):
    token = edge.ok("GET", "/v1/categories?all=true&pageSize=1")["nextPageToken"]

    assert refusal(edge.call("GET", f"/v1/products?pageToken={token}")) == (400, "PAGE_TOKEN_INVALID")


def test_a_page_token_of_another_filter_is_refused(edge: Edge):
    token = edge.ok("GET", "/v1/products?category=edge-tests&pageSize=1")["nextPageToken"]

    assert refusal(edge.call("GET", f"/v1/products?category=edge-tests.lights&pageToken={token}")) == (400, "PAGE_TOKEN_INVALID")


def test_a_page_token_of_another_user_is_refused(edge: Edge, buyer: Household):
    somebody = edge.customer()
    edge.cart(somebody)
    edge.cart(somebody)
    token = edge.ok("GET", "/v1/carts?pageSize=1", user=somebody)["nextPageToken"]

    assert refusal(edge.call("GET", f"/v1/carts?pageToken={token}", user=buyer.owner)) == (400, "PAGE_TOKEN_INVALID")


@pytest.mark.parametrize("token", ["abc", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "%00", "é", "../../etc/passwd"])
def test_a_forged_page_token_is_refused(edge: Edge, token: str):
    assert refusal(edge.call("GET", "/v1/products", params={"pageToken": token})) == (400, "PAGE_TOKEN_INVALID")


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("page=-1", INVALID),
        ("page=one", INVALID),
        ("page=501", (400, "PAGE_OUT_OF_RANGE")),
        ("pageSize=101", INVALID),
        ("pageSize=-1", INVALID),
        ("pageSize=99999999999", INVALID),
        ("pageToken=" + "t" * 1001, INVALID),
        ("readMask=secret", INVALID),
        ("currency=dollars", INVALID),
        ("category=edge-none", (404, "CATEGORY_NOT_FOUND")),
        ("category=" + "c" * 1001, INVALID),
        ("categorie=edge-tests", INVALID),
        ("category.x=1", INVALID),
    ],
)
def test_no_products_for(edge: Edge, query: str, wanted: tuple[int, str]):
    assert refusal(edge.call("GET", f"/v1/products?{query}")) == wanted


@pytest.mark.parametrize(
    "query",
    ["", "category=", "category=A b", "category=a&limit=101", "category=a&limit=-1", "category=a&metric=clicks", "category=a&window=9h"],
)
def test_no_top_list_for(edge: Edge, query: str):
    assert refusal(edge.call("GET", f"/v1/queryTopProducts?{query}")) == INVALID


def test_an_enum_of_the_query_must_be_known(edge: Edge, buyer: Household):
    answer = edge.call("POST", f"/v1/users/{buyer.owner.user_id}/addresses", {**ADDRESS, "type": "CASTLE"}, user=buyer.owner)

    assert refusal(answer) == INVALID
