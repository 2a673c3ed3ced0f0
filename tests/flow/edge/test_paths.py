"""Every path of the edge, under /v1 and /api: one test each."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.methods import methods, service_files
from services.kit.auth import Policy
from tests.flow.edge.client import ADDRESS, PASSWORD, Customer, Edge, order_of, refusal, usd
from tests.flow.edge.conftest import LAMP, SCREENS, SHIRT, TV

pytestmark = pytest.mark.edge
TESTED: set[tuple[str, str]] = set()
PREFIXES = ("/v1", "/api")
numbers = itertools.count(1)


def path(verb: str, template: str) -> Callable[[Any], Any]:
    """Runs a test of a path under both prefixes, and notes that there is one."""
    TESTED.add((verb, f"/v1{template}"))
    return pytest.mark.parametrize("at", PREFIXES)


def email() -> str:
    return f"{uuid.uuid4().hex}@example.org"


def test_every_path_has_a_test():
    policy = Policy.load(Path(__file__).parents[3] / "mesh" / "policy.yaml")
    forms = {(each.verb, each.template) for method in methods(service_files(), policy) if method.is_open for each in method.bindings}

    assert {(verb, template) for verb, template in forms if template.startswith("/v1/")} == TESTED


def test_the_edge_is_healthy(edge: Edge):
    assert edge.call("GET", "/healthz").status_code == 200


def test_the_public_keys_are_a_json_web_key_set(edge: Edge):
    [key] = edge.ok("GET", "/.well-known/jwks.json")["keys"]

    assert (key["kty"], key["crv"], key["alg"], key["use"], "d" in key) == ("EC", "P-256", "ES256", "sig", False)


LATER = [
    ("POST", "/cart/coupon"),
    ("DELETE", "/cart/coupon"),
    ("GET", f"/products/{TV}/reviews"),
    ("POST", f"/products/{TV}/reviews"),
    ("POST", "/payments/webhook"),
    ("POST", "/payments/webhook/sandbox"),
    ("GET", "/search?q=tv"),
    ("POST", "/flash-sale/create"),
    ("POST", "/delivery/complete"),
]


@pytest.mark.parametrize(("verb", "target"), [*((verb, at + target) for at in PREFIXES for verb, target in LATER)])
def test_a_path_of_later_is_not_found(edge: Edge, shopper: Customer, verb: str, target: str):
    assert refusal(edge.call(verb, target, user=shopper)) == (404, "METHOD_NOT_FOUND")


@pytest.mark.parametrize("target", ["/", "/v1", "/openapi.json", "/docs", "/v2/products", "/stats", "/v1/products/", "/v1/Products"])
def test_a_path_that_is_none_is_not_found(edge: Edge, target: str):
    assert refusal(edge.call("GET", target)) == (404, "METHOD_NOT_FOUND")


# Users


@path("POST", "/users/register")
def test_register(edge: Edge, at: str):
    answer = edge.ok("POST", f"{at}/users/register", {"email": email(), "password": PASSWORD, "firstName": "Asha", "lastName": "Rao"})

    assert uuid.UUID(answer["userId"]).version == 7


@path("POST", "/users/login")
def test_log_in(edge: Edge, shopper: Customer, at: str):
    answer = edge.ok("POST", f"{at}/users/login", {"email": shopper.email, "password": PASSWORD})

    assert sorted(answer) == ["accessToken", "expiresInSeconds", "refreshToken", "userId"]
    assert (answer["userId"], answer["expiresInSeconds"]) == (shopper.user_id, 600)


@path("POST", "/users/refresh")
def test_refresh(edge: Edge, shopper: Customer, at: str):
    answer = edge.ok("POST", f"{at}/users/refresh", {"refreshToken": shopper.log_in()["refreshToken"]})

    assert answer["userId"] == shopper.user_id


@path("POST", "/users/logout")
def test_log_out(edge: Edge, shopper: Customer, at: str):
    token = shopper.log_in()["accessToken"]

    assert edge.ok("POST", f"{at}/users/logout", {}, headers={"authorization": f"Bearer {token}"}) == {}


@path("GET", "/users/{user_id}/sessions")
def test_list_sessions(edge: Edge, shopper: Customer, at: str):
    sessions = edge.ok("GET", f"{at}/users/{shopper.user_id}/sessions", user=shopper)["sessions"]

    assert [session["isCurrent"] for session in sessions].count(True) == 1


@path("DELETE", "/users/{user_id}/sessions/{session_id}")
def test_revoke_a_session(edge: Edge, shopper: Customer, at: str):
    sessions = f"{at}/users/{shopper.user_id}/sessions"
    shopper.log_in()
    latest = edge.ok("GET", sessions, user=shopper)["sessions"][0]["sessionId"]
    edge.ok("DELETE", f"{sessions}/{latest}", user=shopper)

    assert latest not in [session["sessionId"] for session in edge.ok("GET", sessions, user=shopper)["sessions"]]


@path("GET", "/users/{user_id}")
def test_get_a_user(edge: Edge, shopper: Customer, at: str):
    user = edge.ok("GET", f"{at}/users/{shopper.user_id}", user=shopper)["user"]

    assert (user["userId"], user["email"], user["roles"]) == (shopper.user_id, shopper.email, ["customer"])


@path("PUT", "/users/{user.user_id}")
def test_put_a_user(edge: Edge, shopper: Customer, at: str):
    user = edge.ok("PUT", f"{at}/users/{shopper.user_id}", {"firstName": "Asha", "lastName": f"Put {at}"}, user=shopper)["user"]

    assert (user["firstName"], user["lastName"]) == ("Asha", f"Put {at}")


@path("PATCH", "/users/{user.user_id}")
def test_patch_a_user(edge: Edge, shopper: Customer, at: str):
    user = edge.ok("PATCH", f"{at}/users/{shopper.user_id}?updateMask=lastName", {"lastName": f"Patched {at}"}, user=shopper)["user"]

    assert (user["firstName"], user["lastName"]) == ("Asha", f"Patched {at}")


@path("POST", "/users:batchCreate")
def test_create_many_users(edge: Edge, at: str):
    emails = [email(), email()]
    users = [{"email": each, "password": PASSWORD} for each in emails]

    created = edge.ok("POST", f"{at}/users:batchCreate", {"users": users}, user=edge.admin)["users"]
    assert [user["email"] for user in created] == emails


@path("POST", "/users/{user_id}/addresses")
def test_add_an_address(edge: Edge, shopper: Customer, at: str):
    address = edge.ok("POST", f"{at}/users/{shopper.user_id}/addresses", {**ADDRESS, "type": "WORK"}, user=shopper)["address"]

    assert uuid.UUID(address["addressId"])
    assert (address["line1"], address["type"], address["isDefault"]) == ("1 MG Road", "WORK", False)


@path("GET", "/users/{user_id}/addresses")
def test_list_addresses(edge: Edge, shopper: Customer, at: str):
    addresses = edge.ok("GET", f"{at}/users/{shopper.user_id}/addresses", user=shopper)["addresses"]

    assert (addresses[0]["addressId"], addresses[0]["isDefault"]) == (shopper.address_id, True)


@path("GET", "/users/{user_id}/addresses/{address_id}")
def test_get_an_address(edge: Edge, shopper: Customer, at: str):
    address = edge.ok("GET", f"{at}/users/{shopper.user_id}/addresses/{shopper.address_id}", user=shopper)["address"]

    assert (address["pincode"], address["country"]) == ("560001", "IN")


@path("PUT", "/users/{user_id}/addresses/{address.address_id}")
def test_put_an_address(edge: Edge, shopper: Customer, at: str):
    url = f"{at}/users/{shopper.user_id}/addresses/{shopper.address_id}"
    address = edge.ok("PUT", url, {**ADDRESS, "line2": f"Put {at}"}, user=shopper)["address"]

    assert (address["addressId"], address["line2"]) == (shopper.address_id, f"Put {at}")


@path("DELETE", "/users/{user_id}/addresses/{address_id}")
def test_delete_an_address(edge: Edge, shopper: Customer, at: str):
    addresses = f"{at}/users/{shopper.user_id}/addresses"
    added = edge.ok("POST", addresses, ADDRESS, user=shopper)["address"]["addressId"]
    edge.ok("DELETE", f"{addresses}/{added}", user=shopper)

    assert refusal(edge.call("GET", f"{addresses}/{added}", user=shopper)) == (404, "ADDRESS_NOT_FOUND")


# Catalogue


@path("GET", "/products")
def test_list_products_of_a_category_by_page(edge: Edge, at: str):
    first = edge.ok("GET", f"{at}/products?category=edge-tests&page=1&pageSize=2")["products"]
    second = edge.ok("GET", f"{at}/products?category=edge-tests&page=2&pageSize=2")["products"]

    assert [product["productId"] for product in (*first, *second)][:3] == [LAMP, SHIRT, TV]


@path("GET", "/products/{product_id}")
def test_get_a_product(edge: Edge, at: str):
    product = edge.ok("GET", f"{at}/products/{TV}")["product"]

    assert (product["title"], product["categoryId"], product["price"]) == ("Television", SCREENS, usd(1999))


@path("GET", "/products/{product_id}/variants")
def test_list_variants(edge: Edge, at: str):
    variants = edge.ok("GET", f"{at}/products/{SHIRT}/variants")["variants"]

    assert [(variant["sku"], variant["price"]) for variant in variants] == [(f"{SHIRT}-s", usd(1999)), (f"{SHIRT}-m", usd(1999))]


@path("POST", "/products")
def test_create_a_product(edge: Edge, at: str):
    product = edge.ok("POST", f"{at}/products", {"title": "New", "categoryPath": ["Edge made"]}, user=edge.admin)["product"]

    assert (uuid.UUID(product["productId"]).version, product["state"]) == (7, "ACTIVE")


@path("PUT", "/products/{product.product_id}")
def test_put_a_product(edge: Edge, at: str):
    name = made(edge)
    product = edge.ok("PUT", f"{at}/products/{name}", {"title": "Put", "categoryPath": ["Edge made"]}, user=edge.admin)["product"]

    assert (product["productId"], product["title"]) == (name, "Put")


@path("PATCH", "/products/{product.product_id}")
def test_patch_a_product(edge: Edge, at: str):
    name = made(edge)
    product = edge.ok("PATCH", f"{at}/products/{name}?updateMask=brand", {"brand": "Patched"}, user=edge.admin)["product"]

    assert (product["title"], product["brand"]) == ("Made", "Patched")


@path("POST", "/products:import")
def test_import_products(edge: Edge, at: str):
    products = [{"productId": f"edge-made-{next(numbers)}", "title": "Made", "categoryPath": ["Edge made"]}, {"title": ""}]
    answer = edge.ok("POST", f"{at}/products:import", {"products": products}, user=edge.admin)

    assert (answer["createdCount"], [(each["index"], each["reason"]) for each in answer["refusals"]]) == (1, [(1, "VALIDATION_FAILED")])


@path("GET", "/categories")
def test_list_categories(edge: Edge, at: str):
    categories = edge.ok("GET", f"{at}/categories?parentCategoryId=edge-tests")["categories"]

    assert [category["categoryId"] for category in categories] == ["edge-tests.lights", SCREENS]


@path("GET", "/categories/{category_id}")
def test_get_a_category(edge: Edge, at: str):
    category = edge.ok("GET", f"{at}/categories/{SCREENS}")["category"]

    assert (category["title"], category["path"]) == ("Screens", ["Edge tests", "Screens"])


@path("GET", "/categories/{category}/products")
def test_list_products_of_a_category(edge: Edge, at: str):
    assert [product["productId"] for product in edge.ok("GET", f"{at}/categories/{SCREENS}/products")["products"]] == [TV]


def made(edge: Edge) -> str:
    """A product to be changed."""
    name = f"edge-made-{next(numbers)}"
    edge.ok("POST", "/v1/products", {"productId": name, "title": "Made", "categoryPath": ["Edge made"]}, user=edge.admin)
    return name


# Inventory


@path("GET", "/inventory/check")
def test_check_stock_of_a_product(edge: Edge, at: str):
    answer = edge.ok("GET", f"{at}/inventory/check?productId={TV}&quantity=2")

    assert (answer["inStock"], int(answer["available"]) >= 2) == (True, True)


@path("POST", "/inventory/check:batch")
def test_check_stock_of_many(edge: Edge, at: str):
    lines = [{"sku": TV, "quantity": 1}, {"sku": "edge-none", "quantity": 1}]
    answer = edge.ok("POST", f"{at}/inventory/check:batch", {"lines": lines})

    assert [(each["sku"], each["inStock"]) for each in answer["availabilities"]] == [(TV, True), ("edge-none", False)]


@path("POST", "/inventory/receive")
def test_receive_stock(edge: Edge, at: str):
    sku = made(edge)
    balance = edge.ok("POST", f"{at}/inventory/receive", {"sku": sku, "quantity": "7"}, user=edge.admin)["balance"]

    assert balance == {"sku": sku, "warehouseId": "main", "onHand": "7", "reserved": "0", "available": "7"}


@path("POST", "/inventory/receive:batch")
def test_receive_stock_of_many(edge: Edge, at: str):
    skus = [made(edge), made(edge)]
    receipts = [{"sku": sku, "quantity": 3} for sku in skus]
    balances = edge.ok("POST", f"{at}/inventory/receive:batch", {"receipts": receipts}, user=edge.admin)["balances"]

    assert [(balance["sku"], balance["onHand"]) for balance in balances] == [(sku, "3") for sku in skus]


@path("POST", "/inventory/adjust")
def test_adjust_stock(edge: Edge, at: str):
    sku = received(edge)
    balance = edge.ok("POST", f"{at}/inventory/adjust", {"sku": sku, "units": -2, "reason": "broken"}, user=edge.admin)["balance"]

    assert balance["onHand"] == "3"


@path("POST", "/inventory/transfer")
def test_transfer_stock(edge: Edge, at: str):
    body = {"sku": received(edge), "fromWarehouseId": "main", "toWarehouseId": "north", "quantity": 2}
    balances = edge.ok("POST", f"{at}/inventory/transfer", body, user=edge.admin)["balances"]

    assert [(balance["warehouseId"], balance["onHand"]) for balance in balances] == [("main", "3"), ("north", "2")]


@path("GET", "/inventory/{sku}/balances")
def test_list_balances(edge: Edge, at: str):
    balances = edge.ok("GET", f"{at}/inventory/{received(edge)}/balances", user=edge.admin)["balances"]

    assert [balance["onHand"] for balance in balances] == ["5"]


@path("GET", "/inventory/{sku}/ledger")
def test_list_movements(edge: Edge, at: str):
    entries = edge.ok("GET", f"{at}/inventory/{received(edge)}/ledger", user=edge.admin)["entries"]

    assert [entry["units"] for entry in entries] == ["5"]


def received(edge: Edge) -> str:
    """A SKU of which there are five."""
    sku = made(edge)
    edge.ok("POST", "/v1/inventory/receive", {"sku": sku, "quantity": 5}, user=edge.admin)
    return sku


# Carts


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


# Pricing


@path("POST", "/quotes")
def test_quote(edge: Edge, at: str):
    answer = edge.ok("POST", f"{at}/quotes", {"lines": [{"sku": TV, "quantity": 2}], "country": "ZZ"})

    assert (answer["quote"]["subtotal"], answer["quote"]["userId"]) == (usd(3998), "")
    assert sorted(answer["signedQuote"]) == ["keyId", "mac", "payload"]


@path("POST", "/prices:batchSet")
def test_set_prices(edge: Edge, at: str):
    prices = edge.ok("POST", f"{at}/prices:batchSet", {"prices": [{"sku": made(edge), "amount": usd(5)}]}, user=edge.admin)["prices"]

    assert [price["amount"] for price in prices] == [usd(5)]


@path("PUT", "/taxRates")
def test_set_a_tax_rate(edge: Edge, at: str):
    rate = {"country": "ZY", "state": "*", "taxClass": "edge", "basisPoints": 700}

    assert edge.ok("PUT", f"{at}/taxRates", rate, user=edge.admin)["rate"] == rate


@path("GET", "/taxRates")
def test_list_tax_rates(edge: Edge, at: str):
    rate = {"country": "ZX", "state": "*", "taxClass": "*", "basisPoints": 100}
    edge.ok("PUT", "/v1/taxRates", rate, user=edge.admin)

    assert rate in edge.ok("GET", f"{at}/taxRates", user=edge.admin)["rates"]


@path("PUT", "/shippingRates")
def test_set_a_shipping_rate(edge: Edge, at: str):
    rate = {"country": "ZY", "base": usd(500), "perKilogram": usd(100), "freeFrom": usd(0)}

    assert edge.ok("PUT", f"{at}/shippingRates", rate, user=edge.admin)["rate"] == rate


@path("GET", "/shippingRates")
def test_list_shipping_rates(edge: Edge, at: str):
    rate = {"country": "ZX", "base": usd(500), "perKilogram": usd(100), "freeFrom": usd(0)}
    edge.ok("PUT", "/v1/shippingRates", rate, user=edge.admin)

    assert rate in edge.ok("GET", f"{at}/shippingRates", user=edge.admin)["rates"]


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
    assert (sorted(answer), answer["source"]) == (["asOf", "products", "source"], "LIVE")
    assert (row["rank"], row["productId"], row["product"]["title"], row["product"]["price"]) == (1, TV, "Television", usd(1999))


@path("GET", "/queryTopProducts:watch")
def test_watch_top_products(edge: Edge, at: str):
    with edge.http.stream("GET", f"{at}/queryTopProducts:watch?category={SCREENS}") as answer:
        assert next(answer.iter_lines()).startswith("data: {")


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
