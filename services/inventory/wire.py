"""Between protobuf and the model."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from bazaar.inventory.v1 import inventory_pb2 as pb
from services.inventory.model import Balance, Line, Movement, Reservation


def balance(of: Balance) -> pb.Balance:
    return pb.Balance(sku=of.sku, warehouse_id=of.warehouse_id, on_hand=of.on_hand, reserved=of.reserved, available=of.available)


def reservation(of: Reservation) -> pb.Reservation:
    message = pb.Reservation(
        order_id=of.order_id,
        state=pb.Reservation.State.Value(of.state),
        allocations=[pb.Allocation(sku=part.sku, warehouse_id=part.warehouse_id, quantity=part.quantity) for part in of.allocations],
    )
    if of.expires_at:
        message.expire_time.FromDatetime(of.expires_at)
    return message


def ledger_entry(of: Movement) -> pb.LedgerEntry:
    created = Timestamp()
    created.FromDatetime(of.created_at)
    return pb.LedgerEntry(
        entry_id=of.entry_id,
        sku=of.entry.sku,
        warehouse_id=of.entry.warehouse_id,
        kind=pb.LedgerEntry.Kind.Value(of.entry.kind),
        units=of.entry.units,
        reference=of.entry.reference,
        note=of.entry.note,
        create_time=created,
    )


def lines(of: Iterable[pb.StockLine]) -> list[Line]:
    return [Line(line.sku, line.quantity) for line in of]


def duration(of: Duration) -> timedelta:
    return of.ToTimedelta()
