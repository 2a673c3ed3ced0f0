"""Taking messages in batches from a client that hands them out one at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from pulsar import ConsumerType, InitialPosition, Message
from pulsar.asyncio import Consumer

from services.kit.events.pulsar.failures import translated
from services.kit.events.pulsar.link import Link, closed
from services.kit.events.pulsar.messages import Incoming, events_in

_COMPANY_SECONDS = 0.002
"""How long a batch waits for more messages."""
_AHEAD = 64
"""Messages asked for before they are wanted: asking one at a time would cost several rounds of the loop each."""


class Batches:
    """Batches of what `receive` brings one by one.

    A `receive` that is cancelled swallows the next message, so those asked for ahead outlive a caller that is cancelled.
    """

    def __init__(self, receive: Callable[[], Awaitable[Message]], size: int) -> None:
        self._receive = receive
        self._size = size
        self._asked: deque[asyncio.Future[Message]] = deque()

    async def next(self) -> list[Message]:
        """Waits for a message and takes those at hand after it, up to `size`.

        Raises:
            PulsarException: the consumer was closed.
        """
        self._ask()
        await asyncio.wait([self._asked[0]])
        messages: list[Message] = []
        has_waited = False
        while len(messages) < self._size:
            if self._asked[0].done():
                has_waited = False
                messages.append(self._asked.popleft().result())
                if not self._asked:
                    self._ask()
                    await asyncio.sleep(0)
            elif has_waited:
                break
            else:
                has_waited = True
                await asyncio.wait([self._asked[0]], timeout=_COMPANY_SECONDS)
        return messages

    def _ask(self) -> None:
        while len(self._asked) < min(self._size, _AHEAD):
            asked = asyncio.ensure_future(self._receive())
            asked.add_done_callback(_seen)
            self._asked.append(asked)


class Inbound:
    """A subscription that is open: its batches, and its acks."""

    def __init__(self, consumer: Consumer, topic: str | None, batch_size: int) -> None:
        self._consumer = consumer
        self._topic = topic
        self._batches = Batches(consumer.receive, batch_size)

    async def batch(self) -> list[Incoming]:
        """The next messages, those of one key in order. What is no event is acked and left out, so it may be none.

        Raises:
            Unavailable: the subscription was closed.
        """
        with translated("receiving"):
            messages = await self._batches.next()
        found = events_in(messages, self._topic)
        if len(found) < len(messages):
            events = {id(each.message) for each in found}
            await self.ack([message for message in messages if id(message) not in events])
        return found

    async def ack(self, messages: Sequence[Message]) -> None:
        """Says that they are done."""
        with translated("acking"):
            await asyncio.gather(*(self._consumer.acknowledge(message) for message in messages))


@asynccontextmanager
async def subscribed(
    link: Link, topic: str, group: str, kind: ConsumerType, *, batch_size: int, event_topic: str | None = None
) -> AsyncGenerator[Inbound]:
    """An open subscription to a topic (by its short name). A group that is new begins with the oldest message.

    Args:
        batch_size: the most messages of a batch; as many may wait in this process, of each partition.
        event_topic: the topic of its events; None when the messages name it.

    Raises:
        UndeclaredTopic, Unavailable, Forbidden: see failures.py.
    """
    with translated(f"subscribing {group} to {topic}"):
        consumer = await link.client.subscribe(
            link.address.topic(topic),
            group,
            kind,
            receiver_queue_size=batch_size,
            initial_position=InitialPosition.Earliest,
            batch_index_ack_enabled=True,
        )

    async def close() -> None:
        await closed(consumer.close())

    link.on_renewal(close)
    try:
        yield Inbound(consumer, event_topic, batch_size)
    finally:
        link.forget(close)
        await closed(consumer.close())


def _seen(pending: asyncio.Future[Message]) -> None:
    """A receive that nobody waits for any more ends with the consumer's close; that is no news."""
    if not pending.cancelled():
        pending.exception()
