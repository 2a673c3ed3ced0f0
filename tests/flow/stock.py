"""Units of a SKU, asked for and counted."""

from __future__ import annotations

from uuid import uuid4

from bazaar.inventory.v1 import inventory_pb2
from bazaar.inventory.v1 import inventory_service_pb2 as pb
from tests.serving import Client


def reserve(sku: str, quantity: int = 1, order_id: str = "", **fields) -> pb.ReserveRequest:
    line = inventory_pb2.StockLine(sku=sku, quantity=quantity)
    return pb.ReserveRequest(order_id=order_id or str(uuid4()), lines=[line], **fields)


async def balance(admin: Client, sku: str) -> tuple[int, int, int]:
    (found,) = (await admin.ListBalances(pb.ListBalancesRequest(sku=sku))).balances
    return found.on_hand, found.reserved, found.available


async def available(client: Client, sku: str) -> int:
    return (await client.CheckStock(pb.CheckStockRequest(sku=sku))).available
