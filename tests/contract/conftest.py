"""The engines that the contracts are run on."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from services.kit.events import event_bus
from services.kit.events.port import EventBus
from services.kit.events.postgres_bus import MIGRATIONS
from services.kit.ids import uuid7
from services.kit.migrations import migrate
from tests.contract.echo import Served, served
from tests.contract.event_fixtures import Stage, stage_on
from tests.pulsar import Broker

RETRY_DELAYS = [timedelta(milliseconds=10), timedelta(milliseconds=20)]


@pytest.fixture(scope="module", params=["postgres", pytest.param("pulsar", marks=pytest.mark.pulsar)])
async def bus_address(request: pytest.FixtureRequest) -> str:
    """The bus's address, ready for use."""
    if request.param == "pulsar":
        broker: Broker = request.getfixturevalue("pulsar")
        return broker.admin_url().replace("/shop", f"/{uuid7()[-12:]}")
    url: str = request.getfixturevalue("module_database_url")
    await migrate(url, [("events", MIGRATIONS)])
    return url


@pytest.fixture
async def bus(bus_address: str) -> AsyncIterator[EventBus]:
    bus = event_bus(bus_address, retry_delays=RETRY_DELAYS)
    await bus.open()
    yield bus
    await bus.close()


@pytest.fixture
async def other_bus(bus_address: str) -> AsyncIterator[EventBus]:
    """A second member, as another process would be."""
    bus = event_bus(bus_address, retry_delays=RETRY_DELAYS)
    await bus.open()
    yield bus
    await bus.close()


@pytest.fixture
async def stage(bus: EventBus) -> Stage:
    return await stage_on(bus)


@pytest.fixture(params=["socket", "bundled", "in-process"])
def transport(request: pytest.FixtureRequest) -> str:
    """What carries a call."""
    return request.param


@pytest.fixture
async def echo(transport: str, folder: Path) -> AsyncIterator[Served]:
    async with served(transport, folder) as running:
        yield running
