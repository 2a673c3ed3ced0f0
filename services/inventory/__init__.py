"""Stock: what there is, what is held for orders, and where it went."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from bazaar.catalog.v1.catalog_service_pb2_grpc import CatalogServiceStub
from bazaar.inventory.v1.inventory_service_pb2_grpc import add_InventoryServiceServicer_to_server
from services.inventory.cache import StockCache
from services.inventory.events import STOCK
from services.inventory.reservations import ReservationStore
from services.inventory.service import InventoryServicer
from services.inventory.store import StockStore
from services.kit.leader import Lease
from services.kit.paging import PageTokens
from services.kit.service import Parts, Service, ServiceKit
from services.kit.timers import Timer

__all__ = ["SERVICE"]

_SWEEP_EVERY = timedelta(seconds=1)


def build(kit: ServiceKit) -> Parts:
    cache = StockCache(lambda: kit.redis, lambda skus: stock.levels(skus))
    stock = StockStore(kit.database, cache.changed)
    reservations = ReservationStore(kit.database, cache.changed)

    async def sweep(lease: Lease) -> None:
        lease.check()
        while await reservations.sweep():
            lease.check()

    servicer = InventoryServicer(stock, reservations, cache, CatalogServiceStub(kit.channel("catalog")), PageTokens(kit.secrets))
    return Parts(
        servicers=[(add_InventoryServiceServicer_to_server, servicer)],
        topics=[STOCK],
        timers=[Timer("sweep-due-holds", _SWEEP_EVERY, sweep)],
        background=[cache.keep_written],
    )


SERVICE = Service("inventory", build, Path(__file__).parent / "migrations")
