"""Carts over a real socket, with neighbours that can be told what to answer, and the store on a real database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from bazaar.cart.v1.cart_service_pb2_grpc import CartServiceStub
from services.cart import SERVICE
from services.cart.store import CartStore
from services.kit.database import Database
from services.kit.events.postgres_bus import MIGRATIONS as EVENT_MIGRATIONS
from services.kit.migrations import KIT_MIGRATIONS, migrate
from tests.neighbours import World, neighbours
from tests.serving import serving


@pytest.fixture(scope="module")
async def cart_url(module_database_url: str) -> str:
    assert SERVICE.migrations
    await migrate(module_database_url, [("kit", KIT_MIGRATIONS), ("cart", SERVICE.migrations)])
    return module_database_url


@pytest.fixture
async def database(cart_url: str) -> AsyncIterator[Database]:
    database = Database(cart_url, max_connections=8)
    await database.open()
    yield database
    await database.close()


@pytest.fixture(scope="module")
def serving_world() -> World:
    return World()


@pytest.fixture
def world(serving_world: World) -> Iterator[World]:
    """The neighbours' world, with all of them at home."""
    yield serving_world
    serving_world.away.clear()


@pytest.fixture(scope="module")
async def stub(
    cart_url: str, postgres: Any, serving_world: World, tmp_path_factory: pytest.TempPathFactory, short_directory: Any
) -> AsyncIterator[Any]:
    events_url = postgres.fresh_database()
    await migrate(events_url, [("events", EVENT_MIGRATIONS)])
    services, secrets = [SERVICE, *neighbours(serving_world)], tmp_path_factory.mktemp("cart-secrets")
    async with serving(services, secrets, short_directory, database_url=cart_url, events_url=events_url) as channel:
        yield CartServiceStub(channel)


@pytest.fixture
def carts(database: Database) -> CartStore:
    return CartStore(database)
