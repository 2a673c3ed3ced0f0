"""The event bus in a PostgreSQL database of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import structlog

from services.kit.clock import Clock, system_clock
from services.kit.database import Database
from services.kit.events.broadcast import BroadcastReader
from services.kit.events.consumer import GroupConsumer
from services.kit.events.dead_letters import DeadLetters
from services.kit.events.log import Log
from services.kit.events.membership import Membership, relaxed_url
from services.kit.events.port import RETRY_DELAYS, Backlog, DeadLetter, Delivery, Event, Subscription, Topic, refuse_older
from services.kit.events.publishing import publish_spans
from services.kit.events.retention import SWEEP_EVERY, sweep

MIGRATIONS = Path(__file__).parent / "migrations"
"""The database's schema; its owner in schema_migrations is "events"."""

_PUBLISHING = 2
_CONSUMING = 3

_log = structlog.get_logger(__name__)


class PostgresBus:
    """EventBus on PostgreSQL: at most six connections a process (2 publish, 3 consume, 1 listens).

    How it works: positions are given under the partition's row lock in the publishing transaction (`log.py`); a group leases partitions to
    processes (`leases.py`, `membership.py`); a consumer reads after the group's position and moves it under its lease's epoch
    (`progress.py`).
    """

    def __init__(self, url: str, *, retry_delays: Sequence[timedelta] = RETRY_DELAYS, clock: Clock = system_clock) -> None:
        self._clock = clock
        self._retry_delays = retry_delays
        self._publishing = Database(url, max_connections=_PUBLISHING)
        self._consuming = Database(relaxed_url(url), max_connections=_CONSUMING)
        self._log = Log(self._publishing)
        self._dead_letters = DeadLetters(self._publishing)
        self._membership = Membership(url, self._consuming)
        self._sweeping: asyncio.Task[None] | None = None

    async def open(self) -> None:
        await self._publishing.open()
        await self._consuming.open()
        await sweep(self._publishing, self._clock)
        self._sweeping = asyncio.create_task(self._sweep_for_ever(), name="event log retention")

    async def close(self) -> None:
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.wait([self._sweeping])
        await self._membership.close()
        await self._consuming.close()
        await self._publishing.close()

    async def declare(self, topics: Sequence[Topic]) -> None:
        await self._log.declare(topics)

    async def publish(self, events: Sequence[Event]) -> None:
        if events:
            with publish_spans(events):
                await self._log.append(events)

    async def consume(self, subscription: Subscription) -> None:
        if subscription.delivery is Delivery.BROADCAST:
            await BroadcastReader(subscription, self._consuming, self._membership).run()
        else:
            await GroupConsumer(subscription, self._consuming, self._membership, self._retry_delays).run()

    async def dead_letters(self, group: str | None = None, limit: int = 1000) -> list[DeadLetter]:
        return await self._dead_letters.list(group, limit)

    async def replay(self, ids: Sequence[str] | None = None, *, group: str | None = None, force: bool = False) -> int:
        return await self._dead_letters.replay(ids, group, force=force)

    async def rewind(self, topic: str, group: str, to: datetime) -> None:
        refuse_older(to, self._clock())
        await self._dead_letters.rewind(topic, group, to)

    async def depth(self, group: str | None = None) -> list[Backlog]:
        return await self._dead_letters.depth(group)

    async def _sweep_for_ever(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_EVERY.total_seconds())
            try:
                await sweep(self._publishing, self._clock)
            except Exception as error:
                _log.warning("the event log was not swept", error=repr(error))
