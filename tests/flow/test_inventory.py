"""Inventory as admins, checkout and orders call it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest
from google.protobuf.duration_pb2 import Duration

from bazaar.catalog.v1 import catalog_pb2, catalog_service_pb2, catalog_service_pb2_grpc
from bazaar.inventory.v1 import inventory_pb2
from bazaar.inventory.v1 import inventory_service_pb2 as pb
from bazaar.inventory.v1.inventory_service_pb2_grpc import InventoryServiceStub
from tests.shop import ADMIN, Shop, eventually
from tests.unit.serving import Client, refused, user

Reservation = inventory_pb2.Reservation
LedgerEntry = inventory_pb2.LedgerEntry


@pytest.fixture
def admin(shop: Shop) -> Client:
    return shop.inventory()


@pytest.fixture
def anyone(shop: Shop) -> Client:
    return shop.stub(InventoryServiceStub)


@pytest.fixture
def checkout(shop: Shop) -> Client:
    return shop.stub(InventoryServiceStub, user(str(uuid4())), caller="checkout")


@pytest.fixture
def orders(shop: Shop) -> Client:
    return shop.stub(InventoryServiceStub, caller="orders")


@pytest.fixture
async def tv(admin: Client) -> str:
    """A SKU with five units."""
    sku = f"tv-{uuid4().hex[:8]}"
    await admin.ReceiveStock(pb.ReceiveStockRequest(sku=sku, quantity=5, reference="delivery 1"))
    return sku


def reserve(sku: str, quantity: int = 1, order_id: str = "", **fields) -> pb.ReserveRequest:
    line = inventory_pb2.StockLine(sku=sku, quantity=quantity)
    return pb.ReserveRequest(order_id=order_id or str(uuid4()), lines=[line], **fields)


async def balance(admin: Client, sku: str) -> tuple[int, int, int]:
    (found,) = (await admin.ListBalances(pb.ListBalancesRequest(sku=sku))).balances
    return found.on_hand, found.reserved, found.available


async def available(client: Client, sku: str) -> int:
    return (await client.CheckStock(pb.CheckStockRequest(sku=sku))).available


async def test_an_order_reserves_commits_and_returns(admin: Client, checkout: Client, orders: Client, tv: str):
    held = (await checkout.Reserve(reserve(tv, 2))).reservation
    assert held.state == Reservation.HELD
    assert list(held.allocations) == [inventory_pb2.Allocation(sku=tv, warehouse_id="main", quantity=2)]
    assert await balance(admin, tv) == (5, 2, 3)

    committed = (await orders.CommitReservation(pb.CommitReservationRequest(order_id=held.order_id))).reservation
    assert (committed.state, committed.allocations) == (Reservation.COMMITTED, held.allocations)
    assert await balance(admin, tv) == (3, 0, 3)

    returned = (await orders.ReturnReservation(pb.ReturnReservationRequest(order_id=held.order_id))).reservation
    assert returned.state == Reservation.RETURNED
    assert await balance(admin, tv) == (5, 0, 5)

    entries = (await admin.ListLedgerEntries(pb.ListLedgerEntriesRequest(sku=tv))).entries
    assert [(entry.kind, entry.units, entry.reference) for entry in entries] == [
        (LedgerEntry.RETURNED, 2, held.order_id),
        (LedgerEntry.COMMITTED, -2, held.order_id),
        (LedgerEntry.RECEIVED, 5, "delivery 1"),
    ]


async def test_a_repeat_gets_the_reservation_already_made(admin: Client, checkout: Client, tv: str):
    wanted = reserve(tv, 2)
    first = await checkout.Reserve(wanted)
    wanted.order_id = wanted.order_id.upper()

    assert await checkout.Reserve(wanted) == first
    assert await balance(admin, tv) == (5, 2, 3)


async def test_stock_is_held_for_15_minutes_unless_said_otherwise(shop: Shop, checkout: Client, tv: str):
    short, usual = reserve(tv, ttl=Duration(seconds=60)), reserve(tv)
    for wanted in (short, usual):
        await checkout.Reserve(wanted)

    left = "SELECT extract(epoch FROM expires_at - now())::int FROM reservations WHERE order_id = %s"
    assert (await shop.execute("inventory", left, short.order_id))[0][0] in range(50, 61)
    assert (await shop.execute("inventory", left, usual.order_id))[0][0] in range(890, 901)


async def test_too_few_units_are_refused_with_what_is_left(admin: Client, checkout: Client, tv: str):
    answer = await refused(checkout.Reserve(reserve(tv, 6)))

    assert answer == ("FAILED_PRECONDITION", "OUT_OF_STOCK", {"sku": tv, "wanted": "6", "available": "5"})
    assert await balance(admin, tv) == (5, 0, 5)


async def test_a_reservation_of_other_lines_is_refused(admin: Client, checkout: Client, tv: str):
    held = (await checkout.Reserve(reserve(tv, 2))).reservation

    answer = await refused(checkout.Reserve(reserve(tv, 3, held.order_id)))

    assert answer == ("INVALID_ARGUMENT", "RESERVATION_DIFFERS", {"order_id": held.order_id})
    assert await balance(admin, tv) == (5, 2, 3)


async def test_a_released_order_cannot_reserve_any_more(admin: Client, checkout: Client, orders: Client, tv: str):
    wanted = reserve(tv, 2)
    released = (await orders.ReleaseReservation(pb.ReleaseReservationRequest(order_id=wanted.order_id))).reservation
    assert (released.state, released.HasField("expire_time")) == (Reservation.RELEASED, False)

    answer = await refused(checkout.Reserve(wanted))

    assert answer == ("FAILED_PRECONDITION", "RESERVATION_ENDED", {"order_id": wanted.order_id, "state": "RELEASED"})
    assert await balance(admin, tv) == (5, 0, 5)


@pytest.mark.parametrize(
    "call",
    [
        lambda orders, order_id: orders.CommitReservation(pb.CommitReservationRequest(order_id=order_id)),
        lambda orders, order_id: orders.ExtendReservation(pb.ExtendReservationRequest(order_id=order_id, ttl=Duration(seconds=1))),
    ],
)
async def test_an_order_without_reservation_is_not_found(orders: Client, call: Callable):
    order_id = str(uuid4())

    assert await refused(call(orders, order_id)) == ("NOT_FOUND", "RESERVATION_NOT_FOUND", {"order_id": order_id})


async def test_an_expired_reservation_stops_holding_at_once_and_may_still_commit(
    shop: Shop, admin: Client, checkout: Client, orders: Client, anyone: Client, tv: str
):
    held = (await checkout.Reserve(reserve(tv, 5))).reservation
    for table in ("reservations", "holds"):
        await shop.execute("inventory", f"UPDATE {table} SET expires_at = now() WHERE order_id = %s", held.order_id)

    assert await balance(admin, tv) == (5, 0, 5)
    assert await available(anyone, tv) == 5
    committed = (await orders.CommitReservation(pb.CommitReservationRequest(order_id=held.order_id))).reservation
    assert committed.state == Reservation.COMMITTED
    assert await balance(admin, tv) == (0, 0, 0)
    await orders.ReturnReservation(pb.ReturnReservationRequest(order_id=held.order_id))


async def test_the_sweeper_folds_what_is_due(shop: Shop, checkout: Client, tv: str):
    await checkout.Reserve(reserve(tv, 3, ttl=Duration(nanos=50_000_000)))

    async def reserved() -> int:
        return (await shop.execute("inventory", "SELECT reserved FROM balances WHERE sku = %s", tv))[0][0]

    await eventually(reserved, 0)


async def test_an_extended_reservation_lives_on(shop: Shop, checkout: Client, orders: Client, tv: str):
    held = (await checkout.Reserve(reserve(tv))).reservation

    longer = pb.ExtendReservationRequest(order_id=held.order_id, ttl=Duration(seconds=3600))
    extended = (await orders.ExtendReservation(longer)).reservation

    later = extended.expire_time.ToDatetime() - held.expire_time.ToDatetime()
    assert timedelta(minutes=45) <= later < timedelta(minutes=46)


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


async def test_customers_neither_stock_nor_reserve(shop: Shop, tv: str):
    customer = shop.stub(InventoryServiceStub, user(str(uuid4())))

    for call in (customer.ReceiveStock(pb.ReceiveStockRequest(sku=tv, quantity=1)), customer.Reserve(reserve(tv))):
        assert (await refused(call))[:2] == ("PERMISSION_DENIED", "METHOD_NOT_GRANTED")
    assert await balance(shop.inventory(), tv) == (5, 0, 5)
