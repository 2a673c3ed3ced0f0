"""A broadcast's reader: every event from now on, for this process alone. Its positions live in memory."""

from __future__ import annotations

import asyncio
from typing import Any

import structlog

from services.kit.database import Database
from services.kit.events.attempt import attempt, is_away, is_cancelled
from services.kit.events.membership import Membership
from services.kit.events.port import Event, Subscription
from services.kit.events.progress import EVENT_COLUMNS, event_of
from services.kit.pacing import Pace

_PAUSE_SECONDS = 0.25
_TURN_SECONDS = 0.25

_HEADS = "SELECT id, head FROM partitions WHERE topic = %s"
# A partition without a position was declared after the reader began: it is read from its first event.
_NEXT = f"""
    WITH behind AS MATERIALIZED (
        SELECT partitions.id, greatest(coalesce(seen.position, 0), floor) AS position, greatest(1, %(size)s / count(*) OVER ()) AS share
        FROM partitions LEFT JOIN unnest(%(partitions)s::int[], %(positions)s::bigint[]) AS seen (id, position) USING (id)
        WHERE topic = %(topic)s AND head > greatest(coalesce(seen.position, 0), floor)
        ORDER BY random() LIMIT %(size)s
    )
    SELECT behind.id, log.position, {EVENT_COLUMNS}
    FROM behind CROSS JOIN LATERAL (
        SELECT * FROM log WHERE log.partition_id = behind.id AND log.position > behind.position
        ORDER BY log.position LIMIT behind.share
    ) AS log
    ORDER BY behind.id, log.position
"""

_log = structlog.get_logger(__name__)


class BroadcastReader:
    """Reads one topic for one subscription of this process."""

    def __init__(self, subscription: Subscription, database: Database, membership: Membership) -> None:
        self.topic = subscription.topic
        self._subscription = subscription
        self._database = database
        self._membership = membership
        self._positions: dict[int, int] | None = None
        self._has_work = asyncio.Event()
        self._pace = Pace(_TURN_SECONDS)

    def wake(self) -> None:
        self._has_work.set()

    async def run(self) -> None:
        """Reads until cancelled."""
        self._membership.add_listener(self)
        self.wake()
        try:
            await self._membership.look_again()
            while not is_cancelled():
                await self._has_work.wait()
                await self._pace.turn()
                self._has_work.clear()
                try:
                    await self._work()
                except Exception as error:
                    _log.warning("broadcast pauses", topic=self.topic, group=self._subscription.group, exc_info=not is_away(error))
                    await asyncio.sleep(_PAUSE_SECONDS)
                    self.wake()
        finally:
            self._membership.remove_listener(self)

    async def _work(self) -> None:
        positions, is_heard = self._positions, self._subscription.is_heard
        if positions is None or not is_heard():
            heads = await self._heads()
            # Who began to listen meanwhile may have looked before the last of these.
            if positions is None or not is_heard():
                self._positions = heads
                return
        columns = {"topic": self.topic, "partitions": list(positions), "positions": list(positions.values())}
        rows = await self._rows(_NEXT, {**columns, "size": self._subscription.batch_size})
        if not rows:
            return
        events: list[Event] = [event_of(self.topic, row[2:]) for row in rows]
        for place, error in (await attempt(self._subscription, events)).items():
            _log.error(
                "broadcast event passed over", topic=self.topic, group=self._subscription.group, event_id=events[place].id, error=error
            )
        positions.update({row[0]: row[1] for row in rows})
        self.wake()

    async def _heads(self) -> dict[int, int]:
        return dict(await self._rows(_HEADS, (self.topic,)))

    async def _rows(self, statement: str, values: Any) -> list[tuple[Any, ...]]:
        async with self._database.connection() as connection:
            return (await connection.execute(statement.encode(), values)).tuples()
