"""Ranking: the most ordered products of every category, seconds after the order, exactly."""

from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from bazaar.catalog.v1.catalog_service_pb2_grpc import CatalogServiceStub
from bazaar.inventory.v1.inventory_service_pb2_grpc import InventoryServiceStub
from bazaar.orders.v1.orders_service_pb2_grpc import OrdersServiceStub
from bazaar.pricing.v1.pricing_service_pb2_grpc import PricingServiceStub
from bazaar.ranking.v1.ranking_service_pb2_grpc import add_RankingServiceServicer_to_server
from services.kit.leader import Lease
from services.kit.redis import RedisUnavailable
from services.kit.service import Parts, Service, ServiceKit
from services.kit.timers import Timer
from services.ranking.audit import Audit
from services.ranking.boards import Boards
from services.ranking.details import Details
from services.ranking.events import subscription
from services.ranking.fresh import Fresh
from services.ranking.projection import Projection
from services.ranking.rankings import Rankings
from services.ranking.service import RankingServicer
from services.ranking.store import RankingStore
from services.ranking.store_history import HistoryStore
from services.ranking.store_versions import VersionStore


def build(kit: ServiceKit) -> Parts:
    """Wires the rooms of ranking."""
    store, history, versions = RankingStore(kit.database), HistoryStore(kit.database), VersionStore(kit.database)
    boards = Boards(kit.redis)
    projection = Projection(store, history, boards, kit.clock)
    generation: Fresh[str, int] = Fresh(lambda _: versions.live())
    rankings = Rankings(history, boards, lambda: generation.get("live"), kit.clock)
    audit = Audit(OrdersServiceStub(kit.channel("orders")), (store, history, versions), boards, projection, kit.clock)
    details = Details(
        CatalogServiceStub(kit.channel("catalog")),
        PricingServiceStub(kit.channel("pricing")),
        InventoryServiceStub(kit.channel("inventory")),
    )

    async def sweep(lease: Lease) -> None:
        with suppress(RedisUnavailable):  # the next one finds what this one couldn't do
            await projection.sweep(await versions.live())

    async def roll_up(lease: Lease) -> None:
        await projection.roll_up(await versions.live())

    async def forget_hours(lease: Lease) -> None:
        await projection.forget_hours()

    return Parts(
        servicers=[(add_RankingServiceServicer_to_server, RankingServicer(rankings, details, audit, kit.settings.currency))],
        subscriptions=[subscription(projection)],
        timers=[
            Timer("bring boards up to date", timedelta(seconds=2), sweep),
            Timer("roll up lines by hour", timedelta(seconds=10), roll_up),
            Timer("forget old hours", timedelta(hours=1), forget_hours),
        ],
    )


SERVICE = Service("ranking", build, Path(__file__).parent / "migrations")
