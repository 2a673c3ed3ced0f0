"""Sending, topic by topic and in order."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence

from pulsar import BatchingType, PartitionsRoutingMode
from pulsar.asyncio import Producer

from services.kit.events.pulsar.failures import translated
from services.kit.events.pulsar.link import Link, closed
from services.kit.events.pulsar.messages import Outgoing

_IN_FLIGHT = 500
"""Messages of a topic that wait for the broker at once; below what the client queues for one partition."""
_SEND_TIMEOUT_MS = 5000
_BATCH_DELAY_MS = 1


class Publisher:
    """The producers of one process, opened at the first use of each topic.

    Args:
        is_batching: whether messages share entries of the log. Batches are by key, because Key_Shared hands out whole entries.
    """

    def __init__(self, link: Link, *, is_batching: bool) -> None:
        self._link = link
        self._is_batching = is_batching
        self._producers: dict[str, Producer] = {}
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        link.on_renewal(self._renew)

    async def send(self, messages: Sequence[Outgoing]) -> None:
        """Returns when all are stored; those of one topic and key in their order. When it fails, some may be stored.

        Raises:
            UndeclaredTopic: none is sent then.
            Unavailable, Forbidden: see failures.py.
        """
        by_topic: defaultdict[str, list[Outgoing]] = defaultdict(list)
        for message in messages:
            by_topic[message.topic].append(message)
        for topic in by_topic:
            await self._producer(topic)
        done = await asyncio.gather(*(self._send_to(topic, each) for topic, each in by_topic.items()), return_exceptions=True)
        for failure in filter(None, done):
            raise failure

    async def _send_to(self, topic: str, messages: Sequence[Outgoing]) -> None:
        async with self._turns[topic]:
            producer = await self._producer(topic)
            for start in range(0, len(messages), _IN_FLIGHT):
                sending = [_sent(producer, message) for message in messages[start : start + _IN_FLIGHT]]
                with translated(f"publishing to {topic}"):
                    for failure in filter(None, await asyncio.gather(*sending, return_exceptions=True)):
                        raise failure

    async def _producer(self, topic: str) -> Producer:
        if topic not in self._producers:
            with translated(f"publishing to {topic}"):
                producer = await self._link.client.create_producer(
                    topic,
                    batching_enabled=self._is_batching,
                    batching_type=BatchingType.KeyBased,
                    batching_max_publish_delay_ms=_BATCH_DELAY_MS,
                    message_routing_mode=PartitionsRoutingMode.RoundRobinDistribution,
                    lazy_start_partitioned_producers=True,
                    send_timeout_millis=_SEND_TIMEOUT_MS,
                )
            # A rival that was quicker keeps its own.
            if self._producers.setdefault(topic, producer) is not producer:
                await closed(producer.close())
        return self._producers[topic]

    async def _renew(self) -> None:
        stale = list(self._producers.values())
        self._producers.clear()
        await asyncio.gather(*(closed(producer.close()) for producer in stale))


async def _sent(producer: Producer, message: Outgoing) -> None:
    await producer.send(
        message.event.payload, properties=message.all_properties(), partition_key=message.event.key, deliver_after=message.delay
    )
