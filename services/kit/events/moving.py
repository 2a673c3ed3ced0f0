"""Moving the events of a shop that goes on taking orders from the PostgreSQL bus to Pulsar.

First, with everything at work, `copy_worked` brings over what every group is done with: history, which a rewind may want. Then the bus is
closed: relays fail, outboxes grow. Its consumers go on; what they leave, and what has failed, is brought over by `copy_rest`. From then on
Pulsar has everything, and processes may be given its address one after the other; `leave` deletes it in PostgreSQL.

What is stored in Pulsar is noted in PostgreSQL batch by batch. A mover that dies is run again and goes on there; until the shop knows that
its events are in Pulsar it may as well go on with PostgreSQL, once that is opened again. So an event may come twice, and consumers pass it
over by its id (kit.inbox).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager

from services.kit.events.departure import Departure, Partition
from services.kit.events.pulsar.arrival import Arrival

Told = Callable[[int], None]
"""Hears how many more events are in Pulsar now."""


class Move:
    """Both buses, open."""

    def __init__(self, departure: Departure, arrival: Arrival, told: Told = lambda count: None) -> None:
        self._from = departure
        self._to = arrival
        self._told = told

    async def copy_worked(self) -> None:
        """Copies what every group is done with. The bus may be open, and its groups at work."""
        topics = await self._from.topics()
        await self._to.make_topics(topics, await self._from.groups())
        for topic in topics:
            await self._copy_worked(topic.name, await self._from.partitions(topic.name))

    async def close(self) -> None:
        """Has PostgreSQL refuse events; they wait in the outboxes."""
        await self._from.shut(is_shut=True)

    async def reopen(self) -> None:
        """Has PostgreSQL take events again."""
        await self._from.shut(is_shut=False)

    async def waiting(self) -> int:
        """How many events the groups at work have yet to work; none is left when this is 0 on a closed bus."""
        return await self._from.waiting()

    async def copy_rest(self) -> None:
        """Copies everything else: events in order, then failures. To be called on a closed bus, after `copy_worked`."""
        groups = await self._from.groups()
        for topic in await self._from.topics():
            await self._copy_rest(topic.name, [group for name, group in groups if name == topic.name])
        already_dead = await self._to.dead()
        async for failures in self._from.failures():
            await self._to.keep([each for each in failures if each.delay is not None or (each.group, each.event.id) not in already_dead])
            self._told(len(failures))

    async def leave(self) -> None:
        """Leaves nothing in PostgreSQL. The shop must know by then that its events are in Pulsar."""
        await self._from.leave()

    async def _copy_worked(self, topic: str, partitions: Sequence[Partition]) -> None:
        await asyncio.gather(*(self._copy(topic, each.id, each.moved, each.lowest) for each in partitions))

    async def _copy_rest(self, topic: str, groups: Sequence[str]) -> None:
        """Groups begin on Pulsar where the last of them stands: the others know by their ids what they have done already."""
        partitions = await self._from.partitions(topic)
        await self._copy_worked(topic, partitions)
        # Copied by a mover before this one, and since then given to a group for the first time, or once more.
        has_gone_back = any(each.lowest < each.moved for each in partitions)
        for group in groups:
            await (self._to.begin_again if has_gone_back else self._to.begin_here)(topic, group)
        await asyncio.gather(*(self._copy(topic, each.id, max(each.moved, each.lowest), each.head) for each in partitions))

    async def _copy(self, topic: str, partition: int, after: int, upto: int) -> None:
        async for last, events in self._from.read(topic, partition, after, upto):
            await self._to.append(events)
            await self._from.note(partition, last)
            self._told(len(events))


@asynccontextmanager
async def moving(source: str, target: str, told: Told = lambda count: None) -> AsyncGenerator[Move]:
    """Opens both buses for the length of the block.

    Args:
        source: URL of the PostgreSQL bus.
        target: URL of Pulsar, for a role that may do everything there, with `admin`.

    Raises:
        Unavailable: one of them is away; so does everything that is done in the block.
    """
    departure, arrival = Departure(source), Arrival(target)
    await departure.open()
    try:
        await arrival.open()
        yield Move(departure, arrival, told)
    finally:
        await arrival.close()
        await departure.close()
