"""The gRPC face of inventory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from bazaar.catalog.v1 import catalog_pb2, catalog_service_pb2
from bazaar.inventory.v1 import inventory_service_pb2 as pb
from bazaar.inventory.v1.inventory_service_pb2_grpc import InventoryServiceServicer
from services.inventory import wire
from services.inventory.cache import StockCache
from services.inventory.model import (
    DEFAULT_TTL,
    MAIN_WAREHOUSE,
    Balance,
    Command,
    Commit,
    Extend,
    Line,
    ProductNotFound,
    Release,
    Reservation,
    Reserve,
    Return,
    total_by_sku,
)
from services.inventory.reservations import ReservationStore
from services.inventory.store import StockStore
from services.kit.idempotency import Once
from services.kit.paging import PageTokens
from services.kit.rpc import calls
from services.kit.telemetry import tracing

if TYPE_CHECKING:
    from bazaar.catalog.v1.catalog_service_pb2_grpc import CatalogServiceAsyncStub

_DEFAULT_PAGE = 50
_NEWEST = 2**63 - 1
_CATALOG_SECONDS = 1.0


class InventoryServicer(InventoryServiceServicer):
    def __init__(
        self, stock: StockStore, reservations: ReservationStore, cache: StockCache, catalog: CatalogServiceAsyncStub, pages: PageTokens
    ) -> None:
        self._stock = stock
        self._reservations = reservations
        self._cache = cache
        self._catalog = catalog
        self._pages = pages

    async def ReceiveStock(self, request: pb.ReceiveStockRequest, context: object) -> pb.ReceiveStockResponse:
        once = _once(request, lambda balances: pb.ReceiveStockResponse(balance=wire.balance(balances[0])))
        receipts = [Line(request.sku, request.quantity)]
        warehouse_id = request.warehouse_id or MAIN_WAREHOUSE
        return pb.ReceiveStockResponse.FromString(await self._stock.receive(receipts, warehouse_id, request.reference, once=once))

    async def BatchReceiveStock(self, request: pb.BatchReceiveStockRequest, context: object) -> pb.BatchReceiveStockResponse:
        once = _once(request, lambda balances: pb.BatchReceiveStockResponse(balances=map(wire.balance, balances)))
        receipts = [Line(receipt.sku, receipt.quantity) for receipt in request.receipts]
        warehouse_id = request.warehouse_id or MAIN_WAREHOUSE
        return pb.BatchReceiveStockResponse.FromString(await self._stock.receive(receipts, warehouse_id, request.reference, once=once))

    async def AdjustStock(self, request: pb.AdjustStockRequest, context: object) -> pb.AdjustStockResponse:
        once = _once(request, lambda balances: pb.AdjustStockResponse(balance=wire.balance(balances[0])))
        warehouse_id = request.warehouse_id or MAIN_WAREHOUSE
        return pb.AdjustStockResponse.FromString(
            await self._stock.adjust(request.sku, warehouse_id, request.units, request.reason, once=once)
        )

    async def TransferStock(self, request: pb.TransferStockRequest, context: object) -> pb.TransferStockResponse:
        once = _once(request, lambda balances: pb.TransferStockResponse(balances=map(wire.balance, balances)))
        source, destination = request.from_warehouse_id, request.to_warehouse_id
        return pb.TransferStockResponse.FromString(
            await self._stock.transfer(request.sku, source, destination, request.quantity, once=once)
        )

    async def ListBalances(self, request: pb.ListBalancesRequest, context: object) -> pb.ListBalancesResponse:
        return pb.ListBalancesResponse(balances=map(wire.balance, await self._stock.balances(request.sku)))

    async def ListLedgerEntries(self, request: pb.ListLedgerEntriesRequest, context: object) -> pb.ListLedgerEntriesResponse:
        query = f"inventory.ListLedgerEntries {request.sku}"
        position = self._pages.decode(query, request.page_token)
        limit = request.page_size or _DEFAULT_PAGE
        found = await self._stock.movements(request.sku, before=int(position[0]) if position else _NEWEST, limit=limit + 1)
        shown = found[:limit]
        next_page = self._pages.encode(query, [shown[-1].entry_id]) if len(found) > limit else ""
        return pb.ListLedgerEntriesResponse(entries=map(wire.ledger_entry, shown), next_page_token=next_page)

    async def CheckStock(self, request: pb.CheckStockRequest, context: object) -> pb.CheckStockResponse:
        quantity = request.quantity or 1
        skus = [request.sku] if request.sku else await self._variants_of(request.product_id)
        most = max((await self._available(dict.fromkeys(skus, quantity))).values(), default=0)
        return pb.CheckStockResponse(in_stock=most >= quantity, available=most)

    async def BatchCheckStock(self, request: pb.BatchCheckStockRequest, context: object) -> pb.BatchCheckStockResponse:
        available = await self._available({line.sku: line.quantity for line in total_by_sku(wire.lines(request.lines))})
        return pb.BatchCheckStockResponse(
            availabilities=[
                pb.BatchCheckStockResponse.Availability(
                    sku=line.sku, in_stock=available[line.sku] >= line.quantity, available=available[line.sku]
                )
                for line in request.lines
            ]
        )

    async def Reserve(self, request: pb.ReserveRequest, context: object) -> pb.ReserveResponse:
        ttl = wire.duration(request.ttl) if request.HasField("ttl") else DEFAULT_TTL
        lines = tuple(total_by_sku(wire.lines(request.lines)))
        done = await self._carry_out(Reserve(request.order_id.lower(), lines, ttl))
        return pb.ReserveResponse(reservation=wire.reservation(done))

    async def ExtendReservation(self, request: pb.ExtendReservationRequest, context: object) -> pb.ExtendReservationResponse:
        done = await self._carry_out(Extend(request.order_id.lower(), wire.duration(request.ttl)))
        return pb.ExtendReservationResponse(reservation=wire.reservation(done))

    async def CommitReservation(self, request: pb.CommitReservationRequest, context: object) -> pb.CommitReservationResponse:
        done = await self._carry_out(Commit(request.order_id.lower()))
        return pb.CommitReservationResponse(reservation=wire.reservation(done))

    async def ReleaseReservation(self, request: pb.ReleaseReservationRequest, context: object) -> pb.ReleaseReservationResponse:
        done = await self._carry_out(Release(request.order_id.lower()))
        return pb.ReleaseReservationResponse(reservation=wire.reservation(done))

    async def ReturnReservation(self, request: pb.ReturnReservationRequest, context: object) -> pb.ReturnReservationResponse:
        done = await self._carry_out(Return(request.order_id.lower()))
        return pb.ReturnReservationResponse(reservation=wire.reservation(done))

    async def _carry_out(self, command: Command) -> Reservation:
        tracing.current().set_attribute(tracing.ORDER_ID, command.order_id)
        return await self._reservations.submit(command, calls.current().deadline)

    async def _available(self, wanted: Mapping[str, int]) -> dict[str, int]:
        """From Redis where it says that there is enough, from PostgreSQL otherwise."""
        cached = await self._cache.read(wanted)
        available = {sku: units for sku, units in cached.items() if units >= wanted[sku]}
        if unsure := [sku for sku in wanted if sku not in available]:
            available |= {level.sku: level.available for level in await self._stock.levels(unsure)}
            self._cache.changed(unsure)
        return available

    async def _variants_of(self, product_id: str) -> Sequence[str]:
        wanted = catalog_service_pb2.BatchGetProductsRequest(
            product_ids=[product_id], read_mask=FieldMask(paths=["product_id", "state", "variants.sku"])
        )
        found = await self._catalog.BatchGetProducts(wanted, timeout=_CATALOG_SECONDS)
        for product in found.products:
            if product.product_id == product_id and product.state == catalog_pb2.Product.ACTIVE:
                return [variant.sku for variant in product.variants]
        raise ProductNotFound(product_id)


def _once(request: Any, respond: Callable[[list[Balance]], Message]) -> Once[list[Balance]]:
    return Once(calls.request_key(request), lambda balances: respond(balances).SerializeToString())
