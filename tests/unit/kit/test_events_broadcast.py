"""Broadcasts that nobody in a process listens to."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from services.kit.events.port import Delivery, Event, Subscription
from services.kit.events.postgres_bus import PostgresBus
from tests.unit.kit.events_on_postgres import bus as bus
from tests.unit.kit.events_on_postgres import event
from tests.unit.kit.events_on_postgres import url as url

_LONGER_THAN_A_TURN_SECONDS = 0.3
"""So that nothing is on its way when a process is asked."""


class _Process:
    """Hears of what is published, and is asked whether it listens: each answer is given once, the last one for ever."""

    def __init__(self, bus: PostgresBus, *answers: bool) -> None:
        self._bus = bus
        self._answers = list(answers)
        self.published = 0
        self.asked: list[int] = []
        """How much was published by then, whenever it was asked."""
        self.seen: list[int] = []

    def listens(self) -> bool:
        self.asked.append(self.published)
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]

    async def publish_until(self, is_enough: Callable[[], object]) -> None:
        async with asyncio.timeout(10):
            while not is_enough():
                await self._bus.publish([event(version=self.published + 1)])
                self.published += 1
                await asyncio.sleep(_LONGER_THAN_A_TURN_SECONDS)

    @asynccontextmanager
    async def consuming(self) -> AsyncIterator[None]:
        async def handle(events: Sequence[Event]) -> None:
            self.seen += [each.aggregate_version for each in events]

        reading = Subscription("orders", "watchers", handle, Delivery.BROADCAST, is_heard=self.listens)
        task = asyncio.create_task(self._bus.consume(reading))
        yield
        task.cancel()
        await asyncio.wait([task])


async def test_what_is_published_while_nobody_listens_is_passed_over(bus: PostgresBus):
    process = _Process(bus, False, False, True)

    async with process.consuming():
        await process.publish_until(lambda: process.seen)

    assert process.seen[0] > process.asked[0]


async def test_who_begins_to_listen_meanwhile_hears_of_what_came_before(bus: PostgresBus):
    # Its first turn may find what came before it had begun.
    process = _Process(bus, False, False, False, True)

    async with process.consuming():
        await process.publish_until(lambda: process.seen)

    assert process.seen[0] <= process.asked[2]
