"""The servers of a lane."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg

from services.__main__ import migrate_all
from services.kit.settings import Settings
from tests.chaos.failpoints.lane import Lane, OpenServers
from tests.conftest import TestPostgres
from tests.sandbox import Door, running_sandbox
from tests.shop import settings_for
from tests.shop_fixtures import MIGRATED
from tools.secrets import make_missing

_DRAIN_SECONDS = 2


@asynccontextmanager
async def opened(name: str, folder: Path, sockets: Path, postgres: TestPostgres, redis_url: str, mongo_url: str) -> AsyncIterator[Lane]:
    """A lane with databases, a bus and a gateway of its own; nothing of it runs yet."""
    secrets, folder = folder / "secrets", folder / name
    for path in (secrets, folder):
        path.mkdir(exist_ok=True)
    make_missing(secrets)
    servers = OpenServers(postgres.url(f"{name}_{{service}}"), postgres.url(f"{name}_events"), folder / "sandbox" / "books.sqlite")
    door = Door()
    with running_sandbox(folder, secrets, door.url) as (server, sandbox):
        settings = settings_for(secrets, sockets, servers, redis_url, mongo_url, name)
        settings = settings.model_copy(update={"gateways": f"sandbox={server.url}", "drain_timeout_seconds": _DRAIN_SECONDS})
        lane = Lane(settings, servers, sandbox, door, folder / "log")
        async with asyncio.TaskGroup() as group:
            group.create_task(lane.open())
            group.create_task(_migrated(name, postgres, settings))
        yield lane
        await lane.close()
        await servers.close()
    door.close()


async def _migrated(name: str, postgres: TestPostgres, settings: Settings) -> None:
    async with await psycopg.AsyncConnection.connect(postgres.url(), autocommit=True) as connection:
        for service in MIGRATED:
            await connection.execute(f"CREATE DATABASE {name}_{service}")  # type: ignore[arg-type]
    await migrate_all([], settings)
