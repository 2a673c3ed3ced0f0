"""Carts on the whole shop: real products, prices, stock and orders."""

from __future__ import annotations

import asyncio

from google.protobuf.field_mask_pb2 import FieldMask

from bazaar.cart.v1 import cart_pb2
from bazaar.cart.v1 import cart_service_pb2 as pb
from bazaar.catalog.v1 import catalog_pb2, catalog_service_pb2
from bazaar.catalog.v1.catalog_service_pb2_grpc import CatalogServiceStub
from bazaar.inventory.v1 import inventory_service_pb2
from bazaar.pricing.v1 import pricing_pb2, pricing_service_pb2
from bazaar.pricing.v1.pricing_service_pb2_grpc import PricingServiceStub
from bazaar.type.v1 import money_pb2
from services.kit.ids import uuid7
from tests.serving import refused
from tests.shop import ADMIN, Customer, Shop, eventually


async def add(shop: Shop, buyer: Customer, quantity: int = 1, **which: str) -> cart_pb2.Cart:
    return (await shop.cart(buyer.principal).AddItem(pb.AddItemRequest(quantity=quantity, **which))).cart


async def cart_of(shop: Shop, buyer: Customer) -> cart_pb2.Cart:
    return (await shop.cart(buyer.principal).GetCart(pb.GetCartRequest())).cart


async def quantities(shop: Shop, buyer: Customer) -> dict[str, int]:
    return {item.sku: item.quantity for item in (await cart_of(shop, buyer)).items}


async def test_an_added_product_shows_its_title_price_and_stock(shop: Shop):
    sku, buyer = await shop.stocked(5, price=1250), await shop.customer()

    cart = await add(shop, buyer, 2, product_id=sku)

    [item] = cart.items
    assert (item.sku, item.title[:5], item.amount.minor_units, item.in_stock) == (sku, "Thing", 2500, True)
    assert (cart.subtotal.currency_code, cart.subtotal.minor_units, cart.is_stale) == ("USD", 2500, False)


async def test_more_than_there_is_cannot_be_added(shop: Shop):
    sku, buyer = await shop.stocked(2), await shop.customer()

    error = await refused(add(shop, buyer, 3, sku=sku))

    assert error == ("FAILED_PRECONDITION", "OUT_OF_STOCK", {"sku": sku, "wanted": "3", "available": "2"})
    assert await quantities(shop, buyer) == {}


async def test_a_product_that_was_never_priced_cannot_be_added(shop: Shop):
    buyer, sku = await shop.customer(), f"unpriced-{uuid7()}"
    product = catalog_pb2.Product(product_id=sku, title="Thing", category_path=["Root"])
    await shop.stub(CatalogServiceStub, ADMIN).ImportProducts(catalog_service_pb2.ImportProductsRequest(products=[product]))
    await shop.inventory().ReceiveStock(inventory_service_pb2.ReceiveStockRequest(sku=sku, quantity=1))

    assert await refused(add(shop, buyer, sku=sku)) == ("FAILED_PRECONDITION", "PRICE_NOT_FOUND", {"sku": sku, "currency": ""})
    assert await quantities(shop, buyer) == {}


async def test_devices_that_add_at_once_are_all_counted(shop: Shop):
    (pen, mug), buyer = [await shop.stocked(100) for _ in range(2)], await shop.customer()

    await asyncio.gather(*(add(shop, buyer, 1, sku=sku) for sku in (pen, mug) for _ in range(5)))

    assert await quantities(shop, buyer) == {pen: 5, mug: 5}


async def test_a_new_price_is_shown_and_marked(shop: Shop):
    sku, buyer = await shop.stocked(5, price=1000), await shop.customer()
    await add(shop, buyer, 2, sku=sku)
    price = pricing_pb2.Price(sku=sku, amount=money_pb2.Money(currency_code="USD", minor_units=900))
    await shop.stub(PricingServiceStub, ADMIN).BatchSetPrices(pricing_service_pb2.BatchSetPricesRequest(prices=[price]))

    cart = await cart_of(shop, buyer)

    assert [(item.price.minor_units, item.price_changed) for item in cart.items] == [(900, True)]
    assert cart.subtotal.minor_units == 1800


async def test_an_archived_product_stays_and_cannot_be_bought(shop: Shop):
    sku, buyer = await shop.stocked(5), await shop.customer()
    await add(shop, buyer, 2, sku=sku)
    archived = catalog_pb2.Product(product_id=sku, state=catalog_pb2.Product.ARCHIVED, title="Thing", category_path=["Root"])
    request = catalog_service_pb2.UpdateProductRequest(product=archived, update_mask=FieldMask(paths=["state"]))
    await shop.stub(CatalogServiceStub, ADMIN).UpdateProduct(request)

    assert [(item.sku, item.in_stock) for item in (await cart_of(shop, buyer)).items] == [(sku, False)]
    assert (await refused(add(shop, buyer, sku=sku)))[1] == "SKU_NOT_FOUND"


async def test_an_order_leaves_what_was_added_after_it(shop: Shop):
    (pen, mug), buyer = [await shop.stocked(10) for _ in range(2)], await shop.customer()
    cart_id = (await add(shop, buyer, 2, sku=pen)).cart_id

    order = await shop.order(buyer, cart_id=cart_id)
    await add(shop, buyer, 3, sku=mug)

    assert [(line.sku, line.quantity) for line in order.lines] == [(pen, 2)]
    await eventually(lambda: quantities(shop, buyer), {mug: 3})


async def test_an_order_of_lines_leaves_the_cart_alone(shop: Shop):
    sku, buyer = await shop.stocked(10), await shop.customer()
    await add(shop, buyer, 2, sku=sku)

    await shop.order(buyer, (sku, 2))
    assert await shop.violations() == []  # waits until every event is worked off

    assert await quantities(shop, buyer) == {sku: 2}
