"""Where what was made is found, and what may be kept of what is read."""

from __future__ import annotations

import pytest

from tests.flow.edge.client import Customer, Edge, order_of
from tests.flow.edge.conftest import TV

pytestmark = pytest.mark.edge
PRODUCT = f"/v1/products/{TV}"


def test_an_order_is_made_and_found_in_its_place(edge: Edge, shopper: Customer):
    made = edge.call("POST", "/v1/orders", order_of(shopper, TV), user=shopper)

    assert made.status_code == 201
    assert edge.ok("GET", made.headers["location"], user=shopper)["order"]["orderId"] == made.json()["order"]["orderId"]


def test_a_repeated_request_is_answered_with_the_same_place(edge: Edge, shopper: Customer):
    first, second = [edge.call("POST", "/v1/carts", {}, user=shopper, key="place-1") for _ in range(2)]

    assert (first.status_code, second.status_code, first.headers["location"]) == (201, 201, second.headers["location"])
    assert edge.ok("GET", first.headers["location"], user=shopper)["cart"]["cartId"] == first.json()["cart"]["cartId"]


def test_an_address_stands_below_its_user(edge: Edge, shopper: Customer):
    address = {"line1": "1 MG Road", "city": "Bengaluru", "state": "KA", "pincode": "560001", "country": "IN", "type": "HOME"}
    made = edge.call("POST", f"/v1/users/{shopper.user_id}/addresses", address, user=shopper)

    assert (made.status_code, made.headers["location"]) == (
        201,
        f"/v1/users/{shopper.user_id}/addresses/{made.json()['address']['addressId']}",
    )


def test_a_product_page_has_a_name_by_which_it_is_asked_for_again(edge: Edge):
    etag = edge.call("GET", PRODUCT).headers["etag"]

    assert edge.call("GET", PRODUCT, headers={"if-none-match": etag}).status_code == 304


def test_staff_see_at_once_what_they_changed_and_have_it_kept_by_nobody(edge: Edge):
    before = edge.call("GET", PRODUCT, user=edge.admin)
    title = f"{before.json()['product']['title']}, renamed"
    edge.ok("PATCH", f"{PRODUCT}?updateMask=title", {"title": title}, user=edge.admin)
    after = edge.call("GET", PRODUCT, user=edge.admin)

    assert (after.json()["product"]["title"], after.headers["cache-control"]) == (title, "private, no-cache")
    assert after.headers["etag"] != before.headers["etag"]


def test_what_is_somebodys_own_is_kept_by_nobody(edge: Edge, shopper: Customer):
    assert edge.call("GET", f"/v1/users/{shopper.user_id}", user=shopper).headers["cache-control"] == "no-store"
