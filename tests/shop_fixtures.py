"""The shop that flow and chaos tests share; a plugin, so that there is one of it however many folders use it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
import structlog

from services.__main__ import find_services, migrate_all
from services.kit.runtime import Runtime
from services.revocation import Revocations
from tests.invariants import Servers
from tests.pulsar import Broker
from tests.sandbox import Door, running_sandbox
from tests.shop import Customer, Shop, settings_for, webhooks_to
from tools.secrets import make_missing

if TYPE_CHECKING:
    from tests.conftest import TestPostgres

MIGRATED = ("users", "catalog", "inventory", "cart", "pricing", "orders", "payments", "ranking", "search", "events")


@pytest.fixture(scope="session")
async def shop(
    request: pytest.FixtureRequest,
    postgres: TestPostgres,
    redis_url: str,
    mongo_url: str,
    short_directory: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Shop]:
    """All services in this process."""
    # With its default, which shows every local variable, an error takes a second of this process's time.
    plainly = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[structlog.processors.add_log_level, plainly])
    secrets = tmp_path_factory.mktemp("secrets")
    make_missing(secrets)
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        for name in MIGRATED:
            connection.execute(f"CREATE DATABASE bazaar_{name}")  # type: ignore[arg-type]
    folder = tmp_path_factory.mktemp("gateway")
    events, broker = bus_for(request, postgres)
    servers = Servers(postgres.url("bazaar_{service}"), events, folder / "sandbox" / "books.sqlite", broker)
    door = Door()
    stack = ExitStack()
    server, sandbox = stack.enter_context(running_sandbox(folder, secrets, door.url))
    settings = settings_for(secrets, short_directory, servers, redis_url, mongo_url, "flow-1")
    settings = settings.model_copy(update={"gateways": f"sandbox={server.url}"})
    await migrate_all([], settings)
    revocations = Revocations()
    runtime = Runtime(find_services([]), settings, is_revoked=revocations.is_revoked, process_work=[revocations.watch])
    shop = Shop(runtime, settings, servers, sandbox)
    await shop.open()
    door.hear = webhooks_to(shop)
    yield shop
    await shop.close()
    stack.close()
    door.close()


def bus_for(request: pytest.FixtureRequest, postgres: TestPostgres) -> tuple[str, Broker | None]:
    """The event bus that BAZAAR_TEST_BUS names: `postgres` (unless it says otherwise) or `pulsar`."""
    if os.environ.get("BAZAAR_TEST_BUS") != "pulsar":
        return postgres.url("bazaar_events"), None
    broker: Broker = request.getfixturevalue("pulsar")
    return broker.admin_url(), broker


@pytest.fixture(scope="session")
async def buyer(shop: Shop) -> Customer:
    """A customer for tests that don't care what else they have ordered."""
    return await shop.customer()


@pytest.fixture(scope="session")
async def other(shop: Shop) -> Customer:
    """Somebody else."""
    return await shop.customer()
