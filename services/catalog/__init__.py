"""Products, their variants, and the categories they stand in."""

from __future__ import annotations

from pathlib import Path

from bazaar.catalog.v1 import catalog_service_pb2_grpc
from bazaar.pricing.v1 import pricing_service_pb2_grpc
from services.catalog.categories import CategoryStore
from services.catalog.events import CATALOG, told_of_category, told_of_product
from services.catalog.places import PlaceStore
from services.catalog.service import CatalogServicer
from services.catalog.store import ProductStore
from services.kit.change_stream import ChangeStream
from services.kit.paging import PageTokens
from services.kit.service import Parts, Service, ServiceKit

DATABASE = "bazaar_catalog"


def _build(kit: ServiceKit) -> Parts:
    database, places = kit.mongo[DATABASE], PlaceStore(kit.database)
    categories = CategoryStore(database)
    products = ProductStore(database, categories, kit.clock)

    async def prepare() -> None:
        await products.prepare()
        await categories.prepare()

    pricing: pricing_service_pb2_grpc.PricingServiceAsyncStub = pricing_service_pb2_grpc.PricingServiceStub(kit.channel("pricing"))
    servicer = CatalogServicer(products, categories, pricing, PageTokens(kit.secrets), kit.clock)
    return Parts(
        servicers=[(catalog_service_pb2_grpc.add_CatalogServiceServicer_to_server, servicer)],
        topics=[CATALOG],
        led=[
            ChangeStream(database["categories"], places, told_of_category).run,
            ChangeStream(database["products"], places, told_of_product).run,
        ],
        start=prepare,
        background=[] if kit.settings.role == "work" else [products.lookup.follow],
    )


SERVICE = Service("catalog", _build, Path(__file__).parent / "migrations")
