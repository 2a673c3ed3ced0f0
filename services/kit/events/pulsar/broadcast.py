"""A broadcast's reader: every event from now on, for this process alone. Its position lives in memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import structlog
from pulsar import Message, MessageId
from pulsar.asyncio import Reader

from services.kit.events.attempt import attempt, is_away, is_cancelled
from services.kit.events.port import Event, Subscription
from services.kit.events.pulsar.failures import translated
from services.kit.events.pulsar.inbound import Batches
from services.kit.events.pulsar.link import Link, closed
from services.kit.events.pulsar.messages import events_in

_PAUSE_SECONDS = 0.25
_OVERLAP_MS = 60_000
"""How far a reader that is opened anew goes back behind the last message it saw: brokers' clocks and the partitions' paces differ."""

_Place = tuple[int, int, int]

_log = structlog.get_logger(__name__)


class BroadcastReader:
    """Reads one topic for one subscription of this process."""

    def __init__(self, subscription: Subscription, link: Link) -> None:
        self._subscription = subscription
        self._link = link
        self._seen: dict[int, _Place] = {}
        """The last place read in each partition."""
        self._resume_ms: int | None = None

    async def run(self) -> None:
        """Reads until cancelled."""
        while not is_cancelled():
            try:
                async with self._reading() as batches:
                    while not is_cancelled():
                        with translated("reading"):
                            messages = await batches.next()
                        await self._work([message for message in messages if self._is_new(message)])
            except Exception as error:
                _log.warning(
                    "broadcast pauses",
                    topic=self._subscription.topic,
                    group=self._subscription.group,
                    error=str(error),
                    exc_info=not is_away(error),
                )
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _work(self, messages: list[Message]) -> None:
        events: list[Event] = [each.event for each in events_in(messages, self._subscription.topic)]
        for place, error in (await attempt(self._subscription, events)).items():
            _log.error(
                "broadcast event passed over",
                topic=self._subscription.topic,
                group=self._subscription.group,
                event_id=events[place].id,
                error=error,
            )
        for message in messages:
            identifier = message.message_id()
            self._seen[identifier.partition()] = _place(identifier)
            self._resume_ms = message.publish_timestamp()

    def _is_new(self, message: Message) -> bool:
        identifier = message.message_id()
        return _place(identifier) > self._seen.get(identifier.partition(), (-1, -1, -1))

    @asynccontextmanager
    async def _reading(self) -> AsyncGenerator[Batches]:
        reader = await self._opened()

        async def close() -> None:
            await closed(reader.close())

        self._link.on_renewal(close)
        try:
            yield Batches(reader.read_next, self._subscription.batch_size)
        finally:
            self._link.forget(close)
            await closed(reader.close())

    async def _opened(self) -> Reader:
        topic = self._subscription.topic
        with translated(f"reading {topic}"):
            reader = await self._link.client.create_reader(self._link.address.topic(topic), MessageId.latest)
            if self._resume_ms is None:
                self._resume_ms = int(time.time() * 1000)
            else:
                await reader.seek(self._resume_ms - _OVERLAP_MS)
        return reader


def _place(identifier: MessageId) -> _Place:
    return identifier.ledger_id(), identifier.entry_id(), identifier.batch_index()
