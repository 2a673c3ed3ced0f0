"""The paths of catalogue, stock and prices: one test each."""

from __future__ import annotations

import uuid

import pytest

from tests.flow.edge.client import Edge, usd
from tests.flow.edge.conftest import LAMP, SCREENS, SHIRT, TV
from tests.flow.edge.paths import made, path

pytestmark = pytest.mark.edge


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
    products = [{"productId": f"edge-imported-{uuid.uuid4().hex}", "title": "Made", "categoryPath": ["Edge made"]}, {"title": ""}]
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


# Stock


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


# Prices


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
