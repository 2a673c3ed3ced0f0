"""What things cost: list prices, tax, shipping, and quotes that hold."""

from __future__ import annotations

from pathlib import Path

from bazaar.catalog.v1 import catalog_service_pb2_grpc
from bazaar.pricing.v1 import pricing_service_pb2_grpc
from services.kit.service import Parts, Service, ServiceKit
from services.pricing.events import PRICES
from services.pricing.service import PricingServicer
from services.pricing.store import PriceStore, RateStore


def _build(kit: ServiceKit) -> Parts:
    catalog: catalog_service_pb2_grpc.CatalogServiceAsyncStub = catalog_service_pb2_grpc.CatalogServiceStub(kit.channel("catalog"))
    servicer = PricingServicer(PriceStore(kit.database), RateStore(kit.database), catalog, kit.secrets, kit.clock)
    return Parts(servicers=[(pricing_service_pb2_grpc.add_PricingServiceServicer_to_server, servicer)], topics=[PRICES])


SERVICE = Service("pricing", _build, Path(__file__).parent / "migrations")
