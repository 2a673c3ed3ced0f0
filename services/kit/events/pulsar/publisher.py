"""Sending, partition by partition and in order."""

from __future__ import annotations

import asyncio
import zlib
from collections import defaultdict
from collections.abc import Sequence

from pulsar import BatchingType
from pulsar.asyncio import Producer

from services.kit.events.pulsar.failures import translated
from services.kit.events.pulsar.link import Link, closed
from services.kit.events.pulsar.messages import Outgoing

_AT_ONCE = 500
"""Messages of a partition that one call hands over before it waits for the broker."""
_IN_FLIGHT = 5000
"""Messages of a partition that wait for the broker at once; one more fails, and its caller tries again later."""
_SEND_TIMEOUT_MS = 5000
_BATCH_DELAY_MS = 5
"""What a message waits for company."""
_LANES = 8
"""Of each partition. Keys that share a lane share batches and a consumer, so that not every key makes an entry of the log of its own."""


class Publisher:
    """The producers of one process, opened at the first use of each partition.

    It chooses partitions itself and never asks for a flush: in a router's call and in `flush` the client takes its own lock while it holds
    Python's, and its threads take them the other way round.

    Args:
        is_batching: whether messages share entries of the log. Batches are by key, because Key_Shared hands out whole entries.
    """

    def __init__(self, link: Link, *, is_batching: bool) -> None:
        self._link = link
        self._is_batching = is_batching
        self._partitions: dict[str, list[str]] = {}
        self._producers: dict[str, asyncio.Future[Producer]] = {}
        link.on_renewal(self._renew)

    async def send(self, messages: Sequence[Outgoing]) -> None:
        """Returns when all are stored; those of one topic and key in their order. When it fails, some may be stored.

        Raises:
            UndeclaredTopic: none is sent then.
            Unavailable, Forbidden: see failures.py.
        """
        lots: defaultdict[str, list[tuple[int, Outgoing]]] = defaultdict(list)
        for message in messages:
            partitions = self._partitions.get(message.topic) or await self._look_up(message.topic)
            lane = lane_of(message.event.key, len(partitions) * _LANES)
            lots[partitions[lane % len(partitions)]].append((lane, message))
        for outcome in await asyncio.gather(*(self._send_to(name, lot) for name, lot in lots.items()), return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome

    async def _send_to(self, partition: str, lot: Sequence[tuple[int, Outgoing]]) -> None:
        with translated(f"publishing to {partition}"):
            producer = await self._producer(partition)
            for start in range(0, len(lot), _AT_ONCE):
                await _sent(producer, lot[start : start + _AT_ONCE])

    async def _look_up(self, topic: str) -> list[str]:
        with translated(f"publishing to {topic}"):
            self._partitions[topic] = await self._link.client.get_topic_partitions(topic)
        return self._partitions[topic]

    async def _producer(self, partition: str) -> Producer:
        """Opened once, though several ask; a caller that is cancelled doesn't keep the others from it."""
        if partition not in self._producers:
            opening = self._producers[partition] = asyncio.ensure_future(self._open(partition))
            opening.add_done_callback(lambda opened: self._forget_failed(partition, opened))
        return await asyncio.shield(self._producers[partition])

    async def _open(self, partition: str) -> Producer:
        return await self._link.client.create_producer(
            partition,
            batching_enabled=self._is_batching,
            batching_type=BatchingType.KeyBased,
            batching_max_publish_delay_ms=_BATCH_DELAY_MS,
            max_pending_messages=_IN_FLIGHT,
            send_timeout_millis=_SEND_TIMEOUT_MS,
        )

    def _forget_failed(self, partition: str, opened: asyncio.Future[Producer]) -> None:
        if (opened.cancelled() or opened.exception()) and self._producers.get(partition) is opened:
            del self._producers[partition]

    async def _renew(self) -> None:
        stale = list(self._producers.values())
        self._producers.clear()
        self._partitions.clear()
        await asyncio.gather(*(closed(opened.result().close()) for opened in stale if opened.done() and not opened.exception()))


async def _sent(producer: Producer, lot: Sequence[tuple[int, Outgoing]]) -> None:
    """Hands messages over in their order, and waits until they are stored."""
    sending = (
        producer.send(
            message.event.payload,
            properties=message.all_properties(),
            partition_key=message.event.key,
            ordering_key=str(lane),
            deliver_after=message.delay,
        )
        for lane, message in lot
    )
    for outcome in await asyncio.gather(*sending, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome


def lane_of(key: str, lanes: int) -> int:
    """The lane of a key: the same in every process and for ever."""
    return zlib.crc32(key.encode()) % lanes
