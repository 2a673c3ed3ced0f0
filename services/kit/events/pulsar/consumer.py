"""A group's consumer in one process: new events from their topic, failed ones from the group's retry topic."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog
from pulsar import ConsumerType

from services.kit.events.attempt import attempt, is_away, is_cancelled
from services.kit.events.port import Delivery, Event, Subscription
from services.kit.events.pulsar.inbound import Inbound, subscribed
from services.kit.events.pulsar.link import Link
from services.kit.events.pulsar.messages import Incoming
from services.kit.events.pulsar.retries import Retries, retry_topic
from services.kit.pacing import Pace

_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0

_log = structlog.get_logger(__name__)

Work = Callable[[Inbound, Sequence[Incoming]], Awaitable[None]]


class GroupConsumer:
    """Works one subscription until cancelled."""

    def __init__(self, subscription: Subscription, link: Link, retries: Retries) -> None:
        self._subscription = subscription
        self._link = link
        self._retries = retries
        self._kind = ConsumerType.KeyShared if subscription.delivery is Delivery.KEYED else ConsumerType.Shared

    async def run(self) -> None:
        """Consumes until cancelled; what is unacked then comes again, here or elsewhere."""
        topic, group = self._subscription.topic, self._subscription.group
        # Delays are served to shared subscriptions, and a retry has lost its place in the order anyway.
        works = [
            self._consume(topic, self._kind, self._work_new),
            self._consume(retry_topic(topic, group), ConsumerType.Shared, self._work_retries),
        ]
        tasks = [asyncio.create_task(work) for work in works]
        try:
            await asyncio.wait(tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _consume(self, topic: str, kind: ConsumerType, work: Work) -> None:
        subscription, pause = self._subscription, _FIRST_PAUSE_SECONDS
        pace = Pace(subscription.patience.total_seconds())
        while not is_cancelled():
            try:
                async with subscribed(
                    self._link, topic, subscription.group, kind, batch_size=subscription.batch_size, event_topic=subscription.topic
                ) as inbound:
                    while not is_cancelled():
                        await work(inbound, await inbound.batch())
                        pause = _FIRST_PAUSE_SECONDS
                        await pace.turn()
            except Exception as error:
                # A consumer outlives whatever happens: the events are still there.
                _log.warning("consumer pauses", topic=topic, group=subscription.group, seconds=pause, error=str(error))
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    async def _work_new(self, inbound: Inbound, messages: Sequence[Incoming]) -> None:
        failed = await self._attempted([each.event for each in messages])
        await self._retries.keep(self._subscription.group, [(messages[place].event, 1, error) for place, error in failed.items()])
        await inbound.ack([each.message for each in messages])

    async def _work_retries(self, inbound: Inbound, messages: Sequence[Incoming]) -> None:
        failed = await self._attempted([each.event for each in messages])
        again = [(messages[place].event, messages[place].attempts + 1, error) for place, error in failed.items()]
        await self._retries.keep(self._subscription.group, again)
        await inbound.ack([each.message for each in messages])

    async def _attempted(self, events: Sequence[Event]) -> Mapping[int, str]:
        """Holds the batch, and so its keys, for as long as a dependency is away."""
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                return await attempt(self._subscription, events)
            except Exception as error:
                if not is_away(error):
                    raise
                _log.warning("a dependency is away", topic=self._subscription.topic, group=self._subscription.group, seconds=pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
