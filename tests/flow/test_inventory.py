"""Reservations as checkout and orders make and settle them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest
from google.protobuf.duration_pb2 import Duration

from bazaar.inventory.v1 import inventory_pb2
from bazaar.inventory.v1 import inventory_service_pb2 as pb
from bazaar.inventory.v1.inventory_service_pb2_grpc import InventoryServiceStub
from tests.flow.stock import available, balance, reserve
from tests.serving import Client, refused, user
from tests.shop import Shop, eventually

Reservation = inventory_pb2.Reservation
LedgerEntry = inventory_pb2.LedgerEntry


@pytest.fixture
def orders(shop: Shop) -> Client:
    return shop.stub(InventoryServiceStub, caller="orders")


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


async def test_customers_neither_stock_nor_reserve(shop: Shop, tv: str):
    customer = shop.stub(InventoryServiceStub, user(str(uuid4())))

    for call in (customer.ReceiveStock(pb.ReceiveStockRequest(sku=tv, quantity=1)), customer.Reserve(reserve(tv))):
        assert (await refused(call))[:2] == ("PERMISSION_DENIED", "METHOD_NOT_GRANTED")
    assert await balance(shop.inventory(), tv) == (5, 0, 5)
