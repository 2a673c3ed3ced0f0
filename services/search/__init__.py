"""Search: products by words, filters and facets."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from bazaar.catalog.v1.catalog_service_pb2_grpc import CatalogServiceStub
from bazaar.inventory.v1.inventory_service_pb2_grpc import InventoryServiceStub
from bazaar.ranking.v1.ranking_service_pb2_grpc import RankingServiceStub
from bazaar.search.v1.search_service_pb2_grpc import add_SearchServiceServicer_to_server
from services.kit.leader import Lease
from services.kit.paging import PageTokens
from services.kit.service import Parts, Service, ServiceKit
from services.kit.timers import Timer
from services.search.events import subscriptions
from services.search.feeding import Feeder
from services.search.filling import Filling
from services.search.index import open_index
from services.search.kept import KeptPages
from services.search.popularity import Popularity
from services.search.search import Search
from services.search.service import SearchServicer
from services.search.store import SearchStore


def build(kit: ServiceKit) -> Parts:
    """Wires the rooms of search."""
    settings, store = kit.settings, SearchStore(kit.database)
    index = open_index(settings.search_url, settings.process)
    catalog = CatalogServiceStub(kit.channel("catalog"))
    feeder = Feeder(store, index)
    filling = Filling(store, catalog, InventoryServiceStub(kit.channel("inventory")), settings.currency)
    popularity = Popularity(store, RankingServiceStub(kit.channel("ranking")))
    search = Search(index, KeptPages(lambda: kit.redis), catalog, PageTokens(kit.secrets), settings.currency)
    servicer = SearchServicer(search, store, filling, popularity)

    async def read_popularity(lease: Lease) -> None:
        await popularity.read()

    return Parts(
        servicers=[(add_SearchServiceServicer_to_server, servicer)],
        subscriptions=subscriptions(store, settings.currency),
        timers=[
            Timer("fill from the catalogue", timedelta(hours=1), filling.fill_once),
            Timer("read popularity", timedelta(minutes=5), read_popularity),
        ],
        led=[feeder.lead] if index.is_shared else [],
        # A process that answers nobody needs no index of its own.
        background=[] if index.is_shared or settings.role == "work" else [feeder.follow],
        start=index.open,
    )


SERVICE = Service("search", build, Path(__file__).parent / "migrations")
