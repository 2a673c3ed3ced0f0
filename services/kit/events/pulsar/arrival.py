"""Pulsar as what events move to; `moving.py` decides when."""

from __future__ import annotations

from collections.abc import Sequence

from services.kit.clock import system_clock
from services.kit.events.departure import Failure
from services.kit.events.port import Event, Topic
from services.kit.events.pulsar.address import Address
from services.kit.events.pulsar.admin import NEXT, Admin
from services.kit.events.pulsar.dead_letters import DeadLetters
from services.kit.events.pulsar.link import Link
from services.kit.events.pulsar.messages import Outgoing
from services.kit.events.pulsar.publisher import Publisher
from services.kit.events.pulsar.retries import Retries, retry_topic
from services.kit.events.pulsar.setup import make_topics


class Arrival:
    """The bus that is moved to.

    Args:
        url: of a role that may do everything, with `admin`.
    """

    def __init__(self, url: str) -> None:
        address = Address.parse(url)
        self._prefix = address.topic("")
        self._link = Link(address)
        self._admin = Admin(address)
        self._events = Publisher(self._link, is_batching=True)
        self._retries = Retries(Publisher(self._link, is_batching=False), self._prefix, ())

    async def open(self) -> None:
        await self._link.open()

    async def close(self) -> None:
        await self._link.close()
        await self._admin.close()

    async def make_topics(self, topics: Sequence[Topic], groups: Sequence[tuple[str, str]]) -> None:
        """Makes what is missing, retry topics of the groups among it; these are (topic, group).

        Raises:
            TopicChanged: one exists with another number of partitions.
        """
        await make_topics(self._admin, topics)
        for topic, group in groups:
            name = retry_topic(topic, group)
            await self._admin.make_topic(Topic(name, partitions=1))
            await self._admin.make_group(name, group)

    async def begin_here(self, topic: str, group: str) -> None:
        """Has a group that is new begin with the next event; one that is there stays where it stands."""
        await self._admin.make_group(topic, group, place=NEXT)

    async def begin_again(self, topic: str, group: str) -> None:
        """Sets a group back to the oldest event."""
        await self._admin.make_group(topic, group)
        await self._admin.rewind(topic, group, 0)

    async def append(self, events: Sequence[Event]) -> None:
        """Stores events; those of one key keep their order."""
        await self._events.send([Outgoing(self._prefix + event.topic, event) for event in events])

    async def keep(self, failures: Sequence[Failure]) -> None:
        """Stores failures: what is dead among the dead letters, the rest where it waits for its next attempt."""
        await self._retries.restore(failures)

    async def dead(self) -> set[tuple[str, str]]:
        """The group and the event's id of every dead letter."""
        letters = DeadLetters(self._link, self._admin, self._retries, system_clock)
        return {(letter.group, letter.event.id) for letter in await letters.list(None, limit=10**9)}
