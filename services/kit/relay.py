"""Carries committed events from a service's outbox to the bus, in the order of their ids.

At least once: what was published and not yet deleted when a leader fell is published again, and consumers pass it over (kit.inbox).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from services.kit.database import Database
from services.kit.events.port import Event
from services.kit.leader import Lease, LeaseLost
from services.kit.pacing import Pace

BATCH = 500

_TURN_SECONDS = 0.15
_GATHER_SECONDS = 0.03
"""Whoever has committed goes on to commit more: an order's events go together, and the relay does not run in the middle of it."""
_SHORTEST_WAIT_SECONDS = 0.025
_LONGEST_WAIT_SECONDS = 0.25
_LONGEST_PAUSE_SECONDS = 5.0

# The event's columns as Event has its fields.
_READ = """
SELECT id, event_id, topic, key, type, subject, aggregate_version, payload, source, occurred_at, traceparent
FROM outbox ORDER BY id LIMIT %s
"""
_DELETE = """
WITH fence AS MATERIALIZED (SELECT 1 FROM leaders WHERE name = %s AND epoch = %s FOR SHARE)
DELETE FROM outbox WHERE id = ANY(%s) AND EXISTS (SELECT FROM fence)
"""

_log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


class Relay:
    """Leader's work for one service. A commit of this process wakes it; for those of others it looks 4 to 40 times a second.

    Args:
        publish: appends events to the bus durably, all or none.
    """

    def __init__(self, database: Database, publish: Callable[[Sequence[Event]], Awaitable[None]]) -> None:
        self._database = database
        self._publish = publish
        self._pace = Pace(_TURN_SECONDS)

    async def run(self, lease: Lease) -> None:
        """Relays until cancelled. While the bus or the database is away it tries again, at least every 5 seconds.

        Raises:
            LeaseLost: another process relays by now.
        """
        wait = pause = _SHORTEST_WAIT_SECONDS
        count = 0
        while True:
            try:
                if count < BATCH:
                    await self._pace.turn()
                    await asyncio.sleep(_GATHER_SECONDS)
                count = await self.relay_batch(lease)
                self._pace.done()
            except LeaseLost:
                raise
            except Exception:
                _log.exception("relay failed", leader=lease.name)
                count = 0
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
                continue
            pause = _SHORTEST_WAIT_SECONDS
            if count < BATCH:
                wait = _SHORTEST_WAIT_SECONDS if count else min(wait * 2, _LONGEST_WAIT_SECONDS)
                await self._wait(wait)

    async def relay_batch(self, lease: Lease) -> int:
        """Publishes and deletes the oldest events, at most 500; returns how many.

        Raises:
            LeaseLost: another process leads. What was published here is published by it again.
        """
        lease.check()
        async with self._database.connection() as connection:
            rows = (await connection.execute(_READ, [BATCH])).tuples()
        if not rows:
            return 0
        lease.check()
        await self._publish([Event(*row[1:]) for row in rows])
        lease.check()
        async with self._database.connection() as connection:
            deleted = await connection.execute(_DELETE, [lease.name, lease.epoch, [row[0] for row in rows]])
        if deleted.rowcount < len(rows):
            raise LeaseLost(f"epoch {lease.epoch} of {lease.name} was succeeded while it published")
        return len(rows)

    async def _wait(self, seconds: float) -> None:
        committed = self._database.outbox_committed
        try:
            async with asyncio.timeout(seconds):
                await committed.wait()
        except TimeoutError:
            return
        committed.clear()
