"""The event bus on Apache Pulsar."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

from services.kit.clock import Clock, system_clock
from services.kit.events.port import RETRY_DELAYS, Backlog, DeadLetter, Delivery, Event, Subscription, Topic, TopicChanged, refuse_older
from services.kit.events.publishing import publish_spans
from services.kit.events.pulsar.address import Address
from services.kit.events.pulsar.admin import Admin
from services.kit.events.pulsar.broadcast import BroadcastReader
from services.kit.events.pulsar.consumer import GroupConsumer
from services.kit.events.pulsar.dead_letters import DeadLetters
from services.kit.events.pulsar.failures import Forbidden
from services.kit.events.pulsar.link import DEAD_LETTERS, Link
from services.kit.events.pulsar.messages import Outgoing
from services.kit.events.pulsar.publisher import Publisher
from services.kit.events.pulsar.retries import Retries, retried_by, retry_topic
from services.kit.events.pulsar.setup import make_topics


class PulsarBus:
    """EventBus on Pulsar: one client a process, whatever the number of its topics and groups.

    How it works: keyed groups are Key_Shared subscriptions, shared ones Shared, and a broadcast is a reader. What fails goes to the group's
    retry topic (`retries.py`), in the end to the topic of dead letters (`dead_letters.py`). Making topics, counting what waits and reading
    dead letters takes an address with `admin`, whose role may do so; processes that serve need none, once `prepare` was run.
    """

    def __init__(self, url: str, *, retry_delays: Sequence[timedelta] = RETRY_DELAYS, clock: Clock = system_clock) -> None:
        address = Address.parse(url)
        self._address = address
        self._link = Link(address)
        self._events = Publisher(self._link, is_batching=True)
        self._retries = Retries(Publisher(self._link, is_batching=False), address.topic(""), retry_delays)
        self._given_admin = Admin(address) if address.admin else None
        self._clock = clock
        self._consumed: set[tuple[str, str]] = set()

    @property
    def _admin(self) -> Admin:
        if self._given_admin is None:
            raise Forbidden("the address of the event bus names no admin API")
        return self._given_admin

    async def open(self) -> None:
        await self._link.open()

    async def close(self) -> None:
        await self._link.close()
        if self._given_admin:
            await self._given_admin.close()

    async def declare(self, topics: Sequence[Topic]) -> None:
        if self._given_admin is None:
            await self._check(topics)
            return
        await make_topics(self._given_admin, topics)

    async def publish(self, events: Sequence[Event]) -> None:
        if events:
            with publish_spans(events):
                await self._events.send([Outgoing(self._address.topic(event.topic), event) for event in events])

    async def consume(self, subscription: Subscription) -> None:
        if subscription.delivery is Delivery.BROADCAST:
            await BroadcastReader(subscription, self._link).run()
        else:
            await self._consume_for_group(subscription)

    async def _consume_for_group(self, subscription: Subscription) -> None:
        name = (subscription.topic, subscription.group)
        if name in self._consumed:
            raise ValueError(f"{subscription.group} consumes {subscription.topic} already in this process")
        self._consumed.add(name)
        try:
            if self._given_admin:
                await self._given_admin.make_topic(Topic(retry_topic(*name), partitions=1))
            await GroupConsumer(subscription, self._link, self._retries).run()
        finally:
            self._consumed.remove(name)

    async def dead_letters(self, group: str | None = None, limit: int = 1000) -> list[DeadLetter]:
        return await self._letters().list(group, limit)

    async def replay(self, ids: Sequence[str] | None = None, *, group: str | None = None, force: bool = False) -> int:
        return await self._letters().replay(ids, group, force=force)

    async def rewind(self, topic: str, group: str, to: datetime) -> None:
        refuse_older(to, self._clock())
        await self._admin.rewind(topic, group, int(to.timestamp() * 1000))

    async def depth(self, group: str | None = None) -> list[Backlog]:
        topics = [topic for topic in await self._admin.topics() if topic != DEAD_LETTERS]
        found = await asyncio.gather(*(self._admin.backlogs(topic) for topic in topics))
        return [
            _backlog(topic, name, partition, count)
            for topic, counts in zip(topics, found, strict=True)
            for (name, partition), count in counts.items()
            if group in (None, name)
        ]

    def _letters(self) -> DeadLetters:
        return DeadLetters(self._link, self._admin, self._retries, self._clock)

    async def _check(self, topics: Sequence[Topic]) -> None:
        for topic in topics:
            found = await self._link.partitions(topic.name)
            if found != topic.partitions:
                raise TopicChanged(f"{topic.name} has {found} partitions, not {topic.partitions}")


def _backlog(topic: str, group: str, partition: int, count: int) -> Backlog:
    retried = retried_by(topic, group)
    return Backlog(group, topic, partition, count, 0) if retried is None else Backlog(group, retried, partition, 0, count)
