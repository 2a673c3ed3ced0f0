"""What the judge asks of the event bus, whichever engine it runs on; nothing is changed there."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any, Protocol

import psycopg

from services.kit.events import event_bus
from services.kit.events.port import Event
from services.kit.events.pulsar.address import Address


class BusBooks(Protocol):
    """The bus as an auditor reads it."""

    async def mark(self) -> Any:
        """Notes how far the topics are now, for `unread`."""
        ...

    async def unread(self, mark: Any) -> Counter[tuple[str, str]]:
        """How many events of those that the mark covers each group has yet to work off, by group and topic."""
        ...

    async def told(self, topic: str) -> list[Event]:
        """Every event kept of a topic; those of one key in order."""
        ...


def books_of(url: str) -> BusBooks:
    """The books of the bus at an address, that of Pulsar being one with `admin`."""
    return PulsarBooks(url) if url.startswith("pulsar") else PostgresBooks(url)


class PostgresBooks:
    """Reads the tables."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def mark(self) -> dict[int, int]:
        return dict(await self._rows("SELECT id, head FROM partitions"))

    async def unread(self, mark: dict[int, int]) -> Counter[tuple[str, str]]:
        left = Counter[tuple[str, str]]()
        leases = "SELECT group_name, topic, partition_id, position FROM leases JOIN partitions ON id = partition_id"
        for group, topic, partition, position in await self._rows(leases):
            left[group, topic] += max(0, mark.get(partition, 0) - position)
        failures = "SELECT group_name, topic FROM failures JOIN partitions ON partitions.id = partition_id WHERE due_at IS NOT NULL"
        left.update((group, topic) for group, topic in await self._rows(failures))
        return left

    async def told(self, topic: str) -> list[Event]:
        log = """SELECT event_id::text, topic, key, type, subject, aggregate_version, payload, source, occurred_at, traceparent
                 FROM log JOIN partitions ON partitions.id = partition_id WHERE topic = %s ORDER BY partition_id, position"""
        return [Event(*row) for row in await self._rows(log, topic)]

    async def _rows(self, statement: str, *values: Any) -> list[Any]:
        async with await psycopg.AsyncConnection.connect(self._url, autocommit=True) as connection:
            return await (await connection.execute(statement, values)).fetchall()  # type: ignore[arg-type]


class PulsarBooks:
    """Asks for backlogs, and reads topics from their beginning."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def mark(self) -> set[tuple[str, str, int]]:
        """Where a backlog has been empty since: whatever was there at the mark has been worked off."""
        return set()

    async def unread(self, mark: set[tuple[str, str, int]]) -> Counter[tuple[str, str]]:
        bus = event_bus(self._url)
        try:
            backlogs = await bus.depth()
        finally:
            await bus.close()
        counts = Counter[tuple[str, str, int]]()
        for each in backlogs:
            counts[each.group, each.topic, each.partition] += each.waiting + each.retrying
        mark.update(place for place, count in counts.items() if not count)
        left = Counter[tuple[str, str]]()
        for (group, topic, partition), count in counts.items():
            left[group, topic] += 0 if (group, topic, partition) in mark else count
        return left

    async def told(self, topic: str) -> list[Event]:
        return await asyncio.to_thread(self._read, topic)

    def _read(self, topic: str) -> list[Event]:
        # A library of 20 MB, which a shop on the other bus has no use for.
        import pulsar

        from services.kit.events.pulsar.messages import incoming

        address = Address.parse(self._url)
        quiet = pulsar.ConsoleLogger(pulsar.LoggerLevel.Error)
        client = pulsar.Client(address.brokers, authentication=pulsar.AuthenticationToken(address.token), logger=quiet)
        try:
            reader = client.create_reader(address.topic(topic), pulsar.MessageId.earliest)
            found: list[Event] = []
            while reader.has_message_available():
                found.append(incoming(reader.read_next(10_000), topic).event)
            return found
        finally:
            client.close()
