"""The paths of carts, orders and rankings: one test each."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.flow.edge.client import Customer, Edge, order_of, refusal, usd
from tests.flow.edge.conftest import LAMP, SCREENS, TV
from tests.flow.edge.paths import made, path

pytestmark = pytest.mark.edge


@path("POST", "/carts")
def test_make_a_cart(edge: Edge, shopper: Customer, at: str):
    cart = edge.ok("POST", f"{at}/carts", {}, user=shopper)["cart"]

    assert (uuid.UUID(cart["cartId"]).version, cart["items"], cart["isActive"]) == (7, [], True)


@path("GET", "/carts")
def test_list_carts(edge: Edge, shopper: Customer, at: str):
    newest = edge.cart(shopper)

    assert edge.ok("GET", f"{at}/carts?pageSize=1", user=shopper)["carts"][0]["cartId"] == newest


@path("GET", "/carts/{cart_id}")
def test_get_a_cart(edge: Edge, shopper: Customer, at: str):
    cart = edge.ok("GET", f"{at}/carts/{edge.cart(shopper, TV)}", user=shopper)["cart"]

    [item] = cart["items"]
    assert (item["sku"], item["title"], item["quantity"], item["price"], item["inStock"]) == (TV, "Television", 1, usd(1999), True)
    assert (cart["subtotal"], cart["itemCount"], cart["isStale"]) == (usd(1999), 1, False)


@path("GET", "/cart")
def test_get_the_active_cart(edge: Edge, shopper: Customer, at: str):
    newest = edge.cart(shopper)

    assert edge.ok("GET", f"{at}/cart", user=shopper)["cart"]["cartId"] == newest


@path("GET", "/carts/{cart_id}/count")
def test_count_a_carts_items(edge: Edge, shopper: Customer, at: str):
    assert edge.ok("GET", f"{at}/carts/{edge.cart(shopper, TV, LAMP)}/count", user=shopper) == {"itemCount": 2}


@path("GET", "/cart/count")
def test_count_the_active_carts_items(edge: Edge, shopper: Customer, at: str):
    edge.cart(shopper, TV)

    assert edge.ok("GET", f"{at}/cart/count", user=shopper) == {"itemCount": 1}


@path("POST", "/carts/{cart_id}/items")
def test_add_an_item(edge: Edge, shopper: Customer, at: str):
    cart = edge.ok("POST", f"{at}/carts/{edge.cart(shopper)}/items", {"sku": TV, "quantity": 3}, user=shopper)["cart"]

    assert items_of(cart) == [(TV, 3)]


@path("POST", "/cart/items")
def test_add_an_item_to_the_active_cart(edge: Edge, shopper: Customer, at: str):
    edge.cart(shopper)

    assert items_of(edge.ok("POST", f"{at}/cart/items", {"sku": LAMP, "quantity": 2}, user=shopper)["cart"]) == [(LAMP, 2)]


@path("POST", "/cart/add")
def test_a_product_stands_for_its_only_sku(edge: Edge, shopper: Customer, at: str):
    edge.cart(shopper)

    assert items_of(edge.ok("POST", f"{at}/cart/add", {"productId": LAMP, "quantity": 2}, user=shopper)["cart"]) == [(LAMP, 2)]


@path("PUT", "/carts/{cart_id}/items/{sku}")
def test_set_an_items_quantity(edge: Edge, shopper: Customer, at: str):
    cart = edge.ok("PUT", f"{at}/carts/{edge.cart(shopper, TV)}/items/{TV}", {"quantity": 5}, user=shopper)["cart"]

    assert items_of(cart) == [(TV, 5)]


@path("PUT", "/cart/items/{sku}")
def test_set_an_items_quantity_in_the_active_cart(edge: Edge, shopper: Customer, at: str):
    edge.cart(shopper, TV)

    assert items_of(edge.ok("PUT", f"{at}/cart/items/{TV}", {"quantity": 4}, user=shopper)["cart"]) == [(TV, 4)]


@path("DELETE", "/carts/{cart_id}/items/{sku}")
def test_remove_an_item(edge: Edge, shopper: Customer, at: str):
    cart = edge.ok("DELETE", f"{at}/carts/{edge.cart(shopper, TV, LAMP)}/items/{TV}", user=shopper)["cart"]

    assert items_of(cart) == [(LAMP, 1)]


@path("DELETE", "/cart/items/{sku}")
def test_remove_an_item_from_the_active_cart(edge: Edge, shopper: Customer, at: str):
    edge.cart(shopper, TV)

    assert items_of(edge.ok("DELETE", f"{at}/cart/items/{TV}", user=shopper)["cart"]) == []


def items_of(cart: dict[str, Any]) -> list[tuple[str, int]]:
    return [(item["sku"], item["quantity"]) for item in cart["items"]]


# Orders


@path("POST", "/orders")
def test_order_lines(edge: Edge, shopper: Customer, at: str):
    answer = edge.ok("POST", f"{at}/orders", order_of(shopper, TV), user=shopper, key=uuid.uuid4().hex)

    order = answer["order"]
    assert (order["state"], order["paymentMethod"], order["paymentState"]) == ("CONFIRMED", "COD", "ACCEPTED")
    assert [(line["sku"], line["quantity"], line["netAmount"]) for line in order["lines"]] == [(TV, 1, usd(1999))]
    assert answer["paymentLink"] == ""


@path("POST", "/orders/create")
def test_order_a_cart(edge: Edge, shopper: Customer, at: str):
    body = {"cartId": edge.cart(shopper, TV, LAMP), "addressId": shopper.address_id, "paymentMethod": "COD"}
    order = edge.ok("POST", f"{at}/orders/create", body, user=shopper)["order"]

    assert [line["sku"] for line in order["lines"]] == [TV, LAMP]


@path("GET", "/orders/{order_id}")
def test_get_an_order(edge: Edge, shopper: Customer, at: str):
    order = edge.order(shopper, TV)

    assert edge.ok("GET", f"{at}/orders/{order['orderId']}", user=shopper)["order"] == order


@path("GET", "/orders")
def test_list_orders_newest_first(edge: Edge, shopper: Customer, at: str):
    two = [edge.order(shopper, TV)["orderId"], edge.order(shopper, LAMP)["orderId"]]
    first = edge.ok("GET", f"{at}/orders?pageSize=1", user=shopper)
    second = edge.ok("GET", f"{at}/orders?pageSize=1&pageToken={first['nextPageToken']}", user=shopper)

    assert [page["orders"][0]["orderId"] for page in (second, first)] == two


@path("GET", "/orders/{order_id}/paymentLink")
def test_ask_for_the_payment_link_again(edge: Edge, shopper: Customer, at: str):
    placed = edge.ok("POST", f"{at}/orders", order_of(shopper, TV, paymentMethod="UPI"), user=shopper)

    link = edge.ok("GET", f"{at}/orders/{placed['order']['orderId']}/paymentLink", user=shopper)

    assert link == {"paymentLink": placed["paymentLink"]}
    assert placed["paymentLink"] != ""


@path("POST", "/payments/webhook/{gateway}")
def test_a_webhook_that_nobody_signed(edge: Edge, at: str):
    assert refusal(edge.call("POST", f"{at}/payments/webhook/sandbox", {"state": "CAPTURED"})) == (401, "WEBHOOK_REFUSED")


@path("POST", "/orders/{order_id}:cancel")
def test_cancel_an_order(edge: Edge, shopper: Customer, at: str):
    order = edge.ok("POST", f"{at}/orders/{edge.order(shopper, TV)['orderId']}:cancel", {}, user=shopper)["order"]

    assert (order["state"], order["cancelReason"], order["timeline"][-1]["state"]) == ("CANCELLED", "CUSTOMER", "CANCELLED")


@path("GET", "/orders/{order_id}:watch")
def test_watch_a_final_order(edge: Edge, shopper: Customer, at: str):
    order_id = edge.order(shopper, TV)["orderId"]
    edge.ok("POST", f"/v1/orders/{order_id}:cancel", {}, user=shopper)
    answer = edge.call("GET", f"{at}/orders/{order_id}:watch", user=shopper)

    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream")
    assert '"state":"CANCELLED"' in answer.text


# Ranking


@path("GET", "/queryTopProducts")
def test_query_top_products(edge: Edge, shopper: Customer, at: str):
    edge.order(shopper, TV)
    answer = edge.top(f"{at}/queryTopProducts?category={SCREENS}&limit=10&metric=units&window=24h")

    [row] = answer["products"]
    assert (sorted(answer), answer["source"]) == (["asOf", "degraded", "products", "source"], "LIVE")
    assert (row["rank"], row["productId"], row["product"]["title"], row["product"]["price"]) == (1, TV, "Television", usd(1999))


@path("GET", "/queryTopProducts:watch")
def test_watch_top_products(edge: Edge, at: str):
    with edge.http.stream("GET", f"{at}/queryTopProducts:watch?category={SCREENS}") as answer:
        lines = answer.iter_lines()
        assert (next(lines)[:4], next(lines)[:7]) == ("id: ", "data: {")


@path("GET", "/products/{product_id}/rank")
def test_rank_of_a_product_that_nobody_ordered(edge: Edge, at: str):
    assert refusal(edge.call("GET", f"{at}/products/{made(edge)}/rank")) == (404, "PRODUCT_NOT_RANKED")


@path("POST", "/ranking:verify")
def test_verify_the_ranking(edge: Edge, at: str):
    answer = edge.ok("POST", f"{at}/ranking:verify", {"rootCategory": "edge-none"}, user=edge.admin)

    assert answer == {"linesCounted": "0", "differences": [], "differenceCount": "0"}


@path("POST", "/ranking:rebuild")
def test_rebuild_the_ranking(edge: Edge, at: str):
    answer = edge.ok("POST", f"{at}/ranking:rebuild", {}, user=edge.admin)

    assert int(answer["generation"]) >= 1
