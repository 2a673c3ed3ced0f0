"""What failed: it waits in its group's retry topic, and in the end in the topic of dead letters.

A message is kept there before it is acked where it came from, so a process that dies in between leaves it twice, never nowhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from services.kit.events.departure import Failure
from services.kit.events.port import Event
from services.kit.events.pulsar.link import DEAD_LETTERS
from services.kit.events.pulsar.messages import Outgoing
from services.kit.events.pulsar.publisher import Publisher


def retry_topic(topic: str, group: str) -> str:
    """Where what a group failed at waits for another try."""
    return f"{topic}.{group}.retry"


def retried_by(name: str, group: str) -> str | None:
    """The topic whose failures a retry topic of the group holds; None of any other topic."""
    suffix = retry_topic("", group)
    return name.removesuffix(suffix) if name.endswith(suffix) else None


class Retries:
    """Keeps failed events.

    Args:
        publisher: one that doesn't batch, so that every message is an entry that can be delayed, counted and acked by itself.
        delays: waits before each new attempt; dead after the last.
    """

    def __init__(self, publisher: Publisher, namespace_topic: str, delays: Sequence[timedelta]) -> None:
        self._publisher = publisher
        self._prefix = namespace_topic
        self._delays = list(delays)

    async def keep(self, group: str, failed: Sequence[tuple[Event, int, str]]) -> None:
        """Stores failures of a group: the event, how often it has failed, the last error."""
        if failed:
            await self._publisher.send([self._after(group, *each) for each in failed])

    async def restore(self, failures: Sequence[Failure]) -> None:
        """Stores what failed on another bus, as it stands there."""
        await self._publisher.send([self._failed(each.group, each.event, each.attempts, each.error, each.delay) for each in failures])

    async def revive(self, group: str, event: Event) -> None:
        """Has a group try an event as if it were new."""
        await self._publisher.send([Outgoing(self._prefix + retry_topic(event.topic, group), event)])

    def _after(self, group: str, event: Event, attempts: int, error: str) -> Outgoing:
        return self._failed(group, event, attempts, error, None if attempts > len(self._delays) else self._delays[attempts - 1])

    def _failed(self, group: str, event: Event, attempts: int, error: str, delay: timedelta | None) -> Outgoing:
        topic = DEAD_LETTERS if delay is None else retry_topic(event.topic, group)
        properties = {"attempts": str(attempts), "error": error, "group": group, "topic": event.topic}
        return Outgoing(self._prefix + topic, event, properties, delay)
