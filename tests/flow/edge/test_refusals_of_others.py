"""What is somebody else's, and what is for staff: the status and the reason, and that nothing has changed."""

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


@pytest.mark.parametrize(
    ("verb", "template", "body"),
    [
        ("GET", "/v1/carts/{cart_id}", None),
        ("GET", "/v1/carts/{cart_id}/count", None),
        ("POST", "/v1/carts/{cart_id}/items", ITEM),
        ("PUT", "/v1/carts/{cart_id}/items/" + M, {"quantity": 3}),
        ("DELETE", "/v1/carts/{cart_id}/items/" + M, None),
        ("GET", "/v1/orders/{order_id}", None),
        ("GET", "/v1/orders/{order_id}:watch", None),
        ("POST", "/v1/orders/{order_id}:cancel", {}),
        ("GET", "/v1/users/{user_id}", None),
        ("PUT", "/v1/users/{user_id}", {"firstName": "Mallory"}),
        ("PATCH", "/v1/users/{user_id}?updateMask=firstName", {"firstName": "Mallory"}),
        ("GET", "/v1/users/{user_id}/sessions", None),
        ("DELETE", "/v1/users/{user_id}/sessions/{session_id}", None),
        ("GET", "/v1/users/{user_id}/addresses", None),
        ("POST", "/v1/users/{user_id}/addresses", ADDRESS),
        ("GET", "/v1/users/{user_id}/addresses/{address_id}", None),
        ("PUT", "/v1/users/{user_id}/addresses/{address_id}", ADDRESS),
        ("DELETE", "/v1/users/{user_id}/addresses/{address_id}", None),
        ("GET", "/v1/users/{own_id}/addresses/{address_id}", None),
        ("PUT", "/v1/users/{own_id}/addresses/{address_id}", ADDRESS),
    ],
)
def test_somebody_elses_is_answered_like_what_is_nowhere(
    edge: Edge, buyer: Household, stranger: Household, verb: str, template: str, body: Any
):
    sessions = edge.ok("GET", f"/v1/users/{stranger.owner.user_id}/sessions", user=stranger.owner)["sessions"]
    theirs = {
        "cart_id": stranger.cart_id,
        "order_id": stranger.order_id,
        "user_id": stranger.owner.user_id,
        "address_id": stranger.owner.address_id,
        "session_id": sessions[0]["sessionId"],
    }
    nowhere = {name: str(uuid.uuid4()) for name in theirs}
    of_theirs, of_nobody = (
        edge.call(verb, template.format(**ids, own_id=buyer.owner.user_id), body, user=buyer.owner) for ids in (theirs, nowhere)
    )

    assert (of_theirs.status_code, refusal(of_theirs)[1].endswith("_NOT_FOUND")) == (404, True)
    assert with_ids(of_theirs.text, theirs) == with_ids(of_nobody.text, nowhere)


def with_ids(text: str, ids: dict[str, str]) -> str:
    """An answer with names in place of ids."""
    for name, value in ids.items():
        text = text.replace(value, name)
    return text


def test_no_order_of_somebody_elses_cart(edge: Edge, buyer: Household, stranger: Household):
    body = order_of(buyer.owner, cartId=stranger.cart_id)

    assert refusal(edge.call("POST", "/v1/orders", body, user=buyer.owner)) == (404, "CART_NOT_FOUND")


def test_no_order_to_somebody_elses_address(edge: Edge, buyer: Household, stranger: Household):
    body = order_of(buyer.owner, S, addressId=stranger.owner.address_id)

    assert refusal(edge.call("POST", "/v1/orders", body, user=buyer.owner)) == (404, "ADDRESS_NOT_FOUND")


# What is for staff


@pytest.mark.parametrize(
    ("verb", "path", "body"),
    [
        ("POST", "/v1/users:batchCreate", {"users": [{"email": "staff@example.org", "password": PASSWORD}]}),
        ("POST", "/v1/products", {"title": "Mine", "categoryPath": ["Edge made"]}),
        ("PATCH", f"/v1/products/{SHIRT}?updateMask=title", {"title": "Mine"}),
        ("POST", "/v1/products:import", {"products": [{"productId": SHIRT, "title": "Mine", "categoryPath": ["Edge made"]}]}),
        ("POST", "/v1/prices:batchSet", {"prices": [{"sku": S, "amount": usd(1)}]}),
        ("PUT", "/v1/taxRates", {"country": "*", "state": "*", "taxClass": "*", "basisPoints": 0}),
        ("GET", "/v1/taxRates", None),
        ("PUT", "/v1/shippingRates", {"country": "*", "base": usd(0), "perKilogram": usd(0), "freeFrom": usd(0)}),
        ("GET", "/v1/shippingRates", None),
        ("POST", "/v1/inventory/receive", {"sku": S, "quantity": 1}),
        ("POST", "/v1/inventory/adjust", {"sku": S, "units": 1, "reason": "mine"}),
        ("GET", f"/v1/inventory/{S}/balances", None),
        ("GET", f"/v1/inventory/{S}/ledger", None),
        ("POST", "/v1/ranking:verify", {}),
        ("POST", "/v1/ranking:rebuild", {}),
    ],
)
def test_a_customer_is_no_admin(edge: Edge, buyer: Household, verb: str, path: str, body: Any):
    assert refusal(edge.call(verb, path, body, user=buyer.owner)) == (403, "METHOD_NOT_GRANTED")


def test_a_customer_cannot_give_themselves_a_role(edge: Edge, buyer: Household):
    user = edge.ok("PATCH", f"/v1/users/{buyer.owner.user_id}?updateMask=roles", {"roles": ["admin"]}, user=buyer.owner)["user"]

    assert user["roles"] == ["customer"]
