"""Carts: what users are about to buy."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from bazaar.cart.v1.cart_service_pb2_grpc import add_CartServiceServicer_to_server
from bazaar.catalog.v1.catalog_service_pb2_grpc import CatalogServiceStub
from bazaar.inventory.v1.inventory_service_pb2_grpc import InventoryServiceStub
from bazaar.pricing.v1.pricing_service_pb2_grpc import PricingServiceStub
from services.cart.events import CARTS, drop_what_was_ordered
from services.cart.neighbours import Neighbours
from services.cart.service import CartServicer
from services.cart.store import CartStore
from services.kit.leader import Lease
from services.kit.paging import PageTokens
from services.kit.service import Parts, Service, ServiceKit
from services.kit.timers import Timer

_TOLD_AT_ONCE = 500


def build(kit: ServiceKit) -> Parts:
    """Wires the rooms of carts."""
    carts = CartStore(kit.database)
    neighbours = Neighbours(
        CatalogServiceStub(kit.channel("catalog")),
        PricingServiceStub(kit.channel("pricing")),
        InventoryServiceStub(kit.channel("inventory")),
    )

    async def tell_of_abandoned(lease: Lease) -> None:
        lease.check()
        while await carts.abandon(kit.clock(), _TOLD_AT_ONCE) == _TOLD_AT_ONCE:
            lease.check()

    return Parts(
        servicers=[(add_CartServiceServicer_to_server, CartServicer(carts, neighbours, PageTokens(kit.secrets), kit.clock))],
        topics=[CARTS],
        timers=[Timer("tell of abandoned carts", timedelta(minutes=1), tell_of_abandoned)],
        subscriptions=[drop_what_was_ordered(carts, kit.clock)],
    )


SERVICE = Service("cart", build, Path(__file__).parent / "migrations")
