"""Taking messages in batches from a client that hands them out one at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import structlog
from pulsar import ConsumerType, InitialPosition, Message
from pulsar.asyncio import Consumer

from services.kit.events.pulsar.failures import translated
from services.kit.events.pulsar.link import Link, closed
from services.kit.events.pulsar.messages import Incoming, incoming

_COMPANY_SECONDS = 0.002
"""How long a batch waits for one more message."""

_log = structlog.get_logger(__name__)


class Batches:
    """Batches of what `receive` brings one by one.

    A `receive` that is cancelled swallows the next message, so there is always at most one, which outlives a caller that is cancelled.
    """

    def __init__(self, receive: Callable[[], Awaitable[Message]]) -> None:
        self._receive = receive
        self._pending: asyncio.Future[Message] | None = None

    async def next(self, size: int) -> list[Message]:
        """Waits for a message and takes those at hand after it, up to `size`.

        Raises:
            PulsarException: the consumer was closed.
        """
        pending = self._receiving()
        await asyncio.wait([pending])
        messages = [self._taken(pending)]
        while len(messages) < size:
            pending = self._receiving()
            if not pending.done():
                await asyncio.wait([pending], timeout=_COMPANY_SECONDS)
            if not pending.done():
                break
            messages.append(self._taken(pending))
        return messages

    def _receiving(self) -> asyncio.Future[Message]:
        if self._pending is None:
            self._pending = asyncio.ensure_future(self._receive())
            self._pending.add_done_callback(_seen)
        return self._pending

    def _taken(self, pending: asyncio.Future[Message]) -> Message:
        self._pending = None
        return pending.result()


class Inbound:
    """A subscription that is open: its batches, and its acks."""

    def __init__(self, consumer: Consumer, topic: str | None) -> None:
        self._consumer = consumer
        self._topic = topic
        self._batches = Batches(consumer.receive)

    async def batch(self, size: int) -> list[Incoming]:
        """The next messages, those of one key in order. What is no event is acked and left out, so it may be none.

        Raises:
            Unavailable: the subscription was closed.
        """
        with translated("receiving"):
            messages = await self._batches.next(size)
        found: list[Incoming] = []
        for message in messages:
            try:
                found.append(incoming(message, self._topic))
            except ValueError as error:
                _log.error("this is no event", topic=message.topic_name(), message_id=str(message.message_id()), error=str(error))
                await self.ack([message])
        return found

    async def ack(self, messages: Sequence[Message]) -> None:
        """Says that they are done."""
        with translated("acking"):
            await asyncio.gather(*(self._consumer.acknowledge(message) for message in messages))


@asynccontextmanager
async def subscribed(
    link: Link, topic: str, group: str, kind: ConsumerType, *, prefetch: int, event_topic: str | None = None
) -> AsyncGenerator[Inbound]:
    """An open subscription to a topic (by its short name). A group that is new begins with the oldest message.

    Args:
        prefetch: the most messages that wait in this process, of a partition.
        event_topic: the topic of its events; None when the messages name it.

    Raises:
        UndeclaredTopic, Unavailable, Forbidden: see failures.py.
    """
    with translated(f"subscribing {group} to {topic}"):
        consumer = await link.client.subscribe(
            link.address.topic(topic),
            group,
            kind,
            receiver_queue_size=prefetch,
            initial_position=InitialPosition.Earliest,
            batch_index_ack_enabled=True,
        )

    async def close() -> None:
        await closed(consumer.close())

    link.on_renewal(close)
    try:
        yield Inbound(consumer, event_topic)
    finally:
        link.forget(close)
        await closed(consumer.close())


def _seen(pending: asyncio.Future[Message]) -> None:
    """A receive that nobody waits for any more ends with the consumer's close; that is no news."""
    if not pending.cancelled():
        pending.exception()
