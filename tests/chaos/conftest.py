"""A second process of the shop, whose attempts can be stopped at any step."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from services.__main__ import find_services
from services.kit.runtime import Runtime
from tests.chaos.stops import Stops
from tests.judge import invariants as invariants
from tests.shop import Customer, Shop

_WATCHED = ("checkout", "orders")


class Victim(Shop):
    """The same shop, reached through a process that dies."""

    def __init__(self, runtime: Runtime, shop: Shop, listen: str, stops: Stops) -> None:
        super().__init__(runtime, shop.settings.model_copy(update={"listen": listen}), shop.servers, shop.sandbox)
        self.stops = stops


@pytest.fixture(scope="session")
async def second_process(shop: Shop) -> AsyncIterator[Victim]:
    stops = Stops()
    listen = f"{shop.settings.listen.removesuffix('.sock')}-victim.sock"
    settings = shop.settings.model_copy(update={"listen": listen, "process": "victim"})
    services = [stops.watching(service) if service.name in _WATCHED else service for service in find_services([])]
    victim = Victim(Runtime(services, settings), shop, listen, stops)
    await victim.open()
    yield victim
    await victim.close()


@pytest.fixture
def victim(second_process: Victim) -> Iterator[Victim]:
    yield second_process
    second_process.stops.clear()


@pytest.fixture
async def buyer(shop: Shop) -> Customer:
    """Somebody with no other orders."""
    return await shop.customer()
