"""A broadcast's reader: every event from now on, for this process alone. Its places live in memory.

A reader a partition: the client's reader of a whole topic acks what it reads without a callback, calls that callback all the same when it
is closing, and so ends the process.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import structlog
from pulsar import Message, MessageId
from pulsar.asyncio import Reader

from services.kit.events.attempt import attempt, is_away, is_cancelled
from services.kit.events.port import Subscription
from services.kit.events.pulsar.failures import translated
from services.kit.events.pulsar.inbound import Batches
from services.kit.events.pulsar.link import Link, closed
from services.kit.events.pulsar.messages import events_in

_PAUSE_SECONDS = 0.25

_log = structlog.get_logger(__name__)


class BroadcastReader:
    """Reads one topic for one subscription of this process."""

    def __init__(self, subscription: Subscription, link: Link) -> None:
        self._subscription = subscription
        self._link = link
        self._began_ms = int(time.time() * 1000)
        self._turn = asyncio.Lock()

    async def run(self) -> None:
        """Reads until cancelled."""
        tasks = [asyncio.create_task(self._read(partition)) for partition in await self._partitions()]
        try:
            await asyncio.wait(tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _partitions(self) -> Sequence[str]:
        topic = self._subscription.topic
        while True:
            try:
                with translated(f"reading {topic}"):
                    return await self._link.client.get_topic_partitions(self._link.address.topic(topic))
            except Exception as error:
                await self._pause(error)

    async def _read(self, partition: str) -> None:
        seen: Message | None = None
        is_first = True
        while not is_cancelled():
            try:
                async with self._reading(partition, seen, is_first=is_first) as batches:
                    is_first = False
                    while not is_cancelled():
                        with translated(f"reading {partition}"):
                            messages = await batches.next()
                        async with self._turn:
                            await self._work(messages)
                        seen = messages[-1]
            except Exception as error:
                await self._pause(error)

    async def _work(self, messages: Sequence[Message]) -> None:
        subscription = self._subscription
        events = [each.event for each in events_in(messages, subscription.topic)]
        for place, error in (await attempt(subscription, events)).items():
            _log.error(
                "broadcast event passed over", topic=subscription.topic, group=subscription.group, event_id=events[place].id, error=error
            )

    @asynccontextmanager
    async def _reading(self, partition: str, seen: Message | None, *, is_first: bool) -> AsyncGenerator[Batches]:
        with translated(f"reading {partition}"):
            reader = await self._opened(partition, seen, is_first=is_first)

        async def close() -> None:
            await closed(reader.close())

        self._link.on_renewal(close)
        try:
            yield Batches(reader.read_next, self._subscription.batch_size)
        finally:
            self._link.forget(close)
            await closed(reader.close())

    async def _opened(self, partition: str, seen: Message | None, *, is_first: bool) -> Reader:
        """Behind the last message seen; a partition that had none yet is read from when this broadcast began."""
        reader = await self._link.client.create_reader(partition, seen.message_id() if seen else MessageId.latest)
        if seen is None and not is_first:
            await reader.seek(self._began_ms)
        return reader

    async def _pause(self, error: Exception) -> None:
        _log.warning(
            "broadcast pauses",
            topic=self._subscription.topic,
            group=self._subscription.group,
            error=str(error),
            exc_info=not is_away(error),
        )
        await asyncio.sleep(_PAUSE_SECONDS)
