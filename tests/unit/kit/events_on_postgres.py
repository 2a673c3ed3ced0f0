"""A bus in a database of its own, for tests of what is particular to PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from services.kit.database import Connection, Database
from services.kit.events.port import Event, Subscription, Topic
from services.kit.events.postgres_bus import MIGRATIONS, PostgresBus
from services.kit.ids import uuid7
from services.kit.migrations import migrate

NOW = datetime(2025, 3, 10, 12, tzinfo=UTC)
WEEK = timedelta(days=7)


def event(key: str = "k", version: int = 1, topic: str = "orders", traceparent: str = "") -> Event:
    return Event(uuid7(), topic, key, "bazaar.test.v1.Happened", key, version, b"", "orders", NOW, traceparent)


@pytest.fixture
async def url(database_url: str) -> str:
    await migrate(database_url, [("events", MIGRATIONS)])
    return database_url


@pytest.fixture
async def bus(url: str) -> AsyncIterator[PostgresBus]:
    bus = PostgresBus(url)
    await bus.open()
    await bus.declare([Topic("orders", partitions=8)])
    yield bus
    await bus.close()


@pytest.fixture
async def connection(url: str) -> AsyncIterator[Connection]:
    database = Database(url)
    await database.open()
    async with database.connection() as connection:
        yield connection
    await database.close()


async def consume_until(bus: PostgresBus, count: int) -> list[Event]:
    seen: list[Event] = []
    enough = asyncio.Event()

    async def handle(events: Sequence[Event]) -> None:
        seen.extend(events)
        if len(seen) >= count:
            enough.set()

    consuming = asyncio.create_task(bus.consume(Subscription("orders", "ranking", handle)))
    await asyncio.wait_for(enough.wait(), 10)
    consuming.cancel()
    await asyncio.wait([consuming])
    return seen
