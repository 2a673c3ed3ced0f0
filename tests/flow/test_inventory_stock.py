"""Stock as admins keep it and anybody asks for it."""

from __future__ import annotations

from uuid import uuid4

import pytest

from bazaar.catalog.v1 import catalog_pb2, catalog_service_pb2, catalog_service_pb2_grpc
from bazaar.inventory.v1 import inventory_pb2
from bazaar.inventory.v1 import inventory_service_pb2 as pb
from tests.flow.stock import available, balance, reserve
from tests.serving import Client, refused
from tests.shop import ADMIN, Shop, eventually


async def test_stock_is_checked_by_sku(anyone: Client, tv: str):
    assert await anyone.CheckStock(pb.CheckStockRequest(sku=tv)) == pb.CheckStockResponse(in_stock=True, available=5)
    assert await anyone.CheckStock(pb.CheckStockRequest(sku=tv, quantity=6)) == pb.CheckStockResponse(in_stock=False, available=5)
    assert await anyone.CheckStock(pb.CheckStockRequest(sku="never-here")) == pb.CheckStockResponse()


async def test_stock_is_checked_in_batches_in_the_order_asked(anyone: Client, tv: str):
    lines = [inventory_pb2.StockLine(sku=sku, quantity=5) for sku in ("never-here", tv)]

    found = (await anyone.BatchCheckStock(pb.BatchCheckStockRequest(lines=lines))).availabilities

    assert [(of.sku, of.in_stock, of.available) for of in found] == [("never-here", False, 0), (tv, True, 5)]


async def test_a_product_is_in_stock_when_one_of_its_variants_is(shop: Shop, admin: Client, anyone: Client):
    product_id = f"shirt-{uuid4().hex[:8]}"
    variants = [catalog_pb2.Variant(sku=f"{product_id}-{size}") for size in ("s", "m", "l")]
    shirt = catalog_pb2.Product(product_id=product_id, title="Shirt", category_path=["Clothes"], variants=variants)
    catalog = shop.stub(catalog_service_pb2_grpc.CatalogServiceStub, ADMIN)
    await catalog.ImportProducts(catalog_service_pb2.ImportProductsRequest(products=[shirt]))
    for size, units in (("s", 1), ("m", 4)):
        await admin.ReceiveStock(pb.ReceiveStockRequest(sku=f"{product_id}-{size}", quantity=units))

    def check(quantity: int) -> pb.CheckStockRequest:
        return pb.CheckStockRequest(product_id=product_id, quantity=quantity)

    assert await anyone.CheckStock(check(4)) == pb.CheckStockResponse(in_stock=True, available=4)
    assert await anyone.CheckStock(check(5)) == pb.CheckStockResponse(in_stock=False, available=4)


async def test_a_product_that_is_not_there_is_not_found(anyone: Client):
    answer = await refused(anyone.CheckStock(pb.CheckStockRequest(product_id="never-here")))

    assert answer == ("NOT_FOUND", "PRODUCT_NOT_FOUND", {"product_id": "never-here"})


async def test_what_was_bought_is_soon_seen_in_redis(shop: Shop, anyone: Client, checkout: Client, tv: str):
    await checkout.Reserve(reserve(tv, 3))

    await eventually(lambda: available(anyone, tv), 2)


async def test_many_receipts_are_booked_together(admin: Client):
    one, two = (f"cup-{uuid4().hex[:8]}" for _ in range(2))
    receipts = [pb.BatchReceiveStockRequest.Receipt(sku=sku, quantity=units) for sku, units in ((one, 1), (two, 2), (one, 3))]

    balances = (await admin.BatchReceiveStock(pb.BatchReceiveStockRequest(receipts=receipts, warehouse_id="del"))).balances

    assert [(of.sku, of.warehouse_id, of.on_hand) for of in balances] == [(one, "del", 4), (two, "del", 2)]


async def test_a_repeated_receipt_is_booked_once(admin: Client, tv: str):
    again = pb.ReceiveStockRequest(sku=tv, quantity=2, request_id=str(uuid4()))

    assert await admin.ReceiveStock(again) == await admin.ReceiveStock(again)
    assert (await balance(admin, tv))[0] == 7


async def test_more_than_a_balance_can_count_is_refused(admin: Client, tv: str):
    for _ in range(2):
        receipts = [pb.BatchReceiveStockRequest.Receipt(sku=tv, quantity=10**12)] * 499
        await admin.BatchReceiveStock(pb.BatchReceiveStockRequest(receipts=receipts))
    await admin.ReceiveStock(pb.ReceiveStockRequest(sku=tv, quantity=10**12))

    answer = await refused(admin.ReceiveStock(pb.ReceiveStockRequest(sku=tv, quantity=10**12)))

    assert answer == ("FAILED_PRECONDITION", "STOCK_ABOVE_LIMIT", {"sku": tv, "limit": str(10**15)})
    assert (await balance(admin, tv))[0] == 999 * 10**12 + 5


async def test_stock_is_adjusted_but_not_below_what_is_available(admin: Client, checkout: Client, tv: str):
    await checkout.Reserve(reserve(tv, 3))

    adjusted = await admin.AdjustStock(pb.AdjustStockRequest(sku=tv, units=-1, reason="broken"))
    assert (adjusted.balance.on_hand, adjusted.balance.available) == (4, 1)
    answer = await refused(admin.AdjustStock(pb.AdjustStockRequest(sku=tv, units=-2, reason="theft")))

    assert answer == ("FAILED_PRECONDITION", "STOCK_BELOW_ZERO", {"sku": tv, "available": "1"})
    assert await balance(admin, tv) == (4, 3, 1)


async def test_stock_is_moved_between_warehouses(admin: Client, tv: str):
    moved = await admin.TransferStock(pb.TransferStockRequest(sku=tv, from_warehouse_id="main", to_warehouse_id="del", quantity=2))

    assert [(of.warehouse_id, of.on_hand) for of in moved.balances] == [("main", 3), ("del", 2)]


async def test_the_ledger_comes_in_pages(admin: Client, tv: str):
    for units in (1, 2):
        await admin.ReceiveStock(pb.ReceiveStockRequest(sku=tv, quantity=units))

    first = await admin.ListLedgerEntries(pb.ListLedgerEntriesRequest(sku=tv, page_size=2))
    rest = await admin.ListLedgerEntries(pb.ListLedgerEntriesRequest(sku=tv, page_size=2, page_token=first.next_page_token))

    assert [entry.units for entry in first.entries] == [2, 1]
    assert ([entry.units for entry in rest.entries], rest.next_page_token) == ([5], "")


async def test_a_page_token_belongs_to_one_sku(admin: Client, tv: str):
    await admin.ReceiveStock(pb.ReceiveStockRequest(sku=tv, quantity=1))
    page = await admin.ListLedgerEntries(pb.ListLedgerEntriesRequest(sku=tv, page_size=1))

    answer = await refused(admin.ListLedgerEntries(pb.ListLedgerEntriesRequest(sku="other", page_token=page.next_page_token)))

    assert answer[:2] == ("INVALID_ARGUMENT", "PAGE_TOKEN_INVALID")


@pytest.mark.parametrize(
    "request_",
    [
        pb.ReceiveStockRequest(sku="tv", quantity=0),
        pb.ReceiveStockRequest(sku="t v", quantity=1),
        pb.ReceiveStockRequest(sku="tv", quantity=1, reference="\x00"),
        pb.ReceiveStockRequest(sku="tv", quantity=1, warehouse_id="ma in"),
    ],
)
async def test_what_cannot_be_received_is_refused(admin: Client, request_: pb.ReceiveStockRequest):
    assert (await refused(admin.ReceiveStock(request_)))[:2] == ("INVALID_ARGUMENT", "VALIDATION_FAILED")


async def test_a_request_id_with_a_nul_is_refused(admin: Client, tv: str):
    receipt = pb.ReceiveStockRequest(sku=tv, quantity=1, request_id="\x00")

    assert (await refused(admin.ReceiveStock(receipt)))[0] == "INVALID_ARGUMENT"
