"""What is told of products while all services can be asked, and while some can't."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from bazaar.catalog.v1.catalog_service_pb2_grpc import CatalogServiceStub
from bazaar.inventory.v1.inventory_service_pb2_grpc import InventoryServiceStub
from bazaar.pricing.v1.pricing_service_pb2_grpc import PricingServiceStub
from bazaar.ranking.v1.ranking_pb2 import ProductDetails
from bazaar.type.v1.money_pb2 import Money
from services.ranking.details import Details, Told
from tests.neighbours import World, neighbours
from tests.serving import Client, serving

PRICE = Money(currency_code="INR", minor_units=500)


@pytest.fixture(scope="module")
def serving_world() -> World:
    world = World()
    world.sell("saw")
    return world


@pytest.fixture
def world(serving_world: World) -> Iterator[World]:
    yield serving_world
    serving_world.away.clear()


@pytest.fixture(scope="module")
async def details(
    serving_world: World, module_database_url: str, tmp_path_factory: pytest.TempPathFactory, short_directory: Path
) -> AsyncIterator[Details]:
    secrets = tmp_path_factory.mktemp("details-secrets")
    async with serving(neighbours(serving_world), secrets, short_directory, database_url=module_database_url) as channel:
        stubs = [Client(stub(channel), caller="ranking") for stub in (CatalogServiceStub, PricingServiceStub, InventoryServiceStub)]
        yield Details(*stubs)  # type: ignore[arg-type]


async def test_a_product_has_a_title_a_price_and_stock(details: Details, world: World):
    assert await details.of(["saw", "unknown"]) == Told({"saw": ProductDetails(title="Saw", price=PRICE, in_stock=True)})


@pytest.mark.parametrize(
    ("away", "told"),
    [
        ("catalog", {}),
        ("pricing", {"saw": ProductDetails(title="Saw", in_stock=True)}),
        ("inventory", {"saw": ProductDetails(title="Saw", price=PRICE)}),
    ],
)
async def test_what_nobody_can_be_asked_is_left_out_and_the_service_named(details: Details, world: World, away: str, told: object):
    world.away.add(away)

    assert await details.of(["saw"]) == Told(told, frozenset({away}))
