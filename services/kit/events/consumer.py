"""A group's consumer in one process: reads from the partitions it holds, one batch at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import structlog

from services.kit.database import Database
from services.kit.events.attempt import attempt, is_away, is_cancelled
from services.kit.events.membership import Membership
from services.kit.events.port import Subscription
from services.kit.events.progress import Entry, Progress
from services.kit.pacing import Pace

_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0

_log = structlog.get_logger(__name__)


class GroupConsumer:
    """Serves KEYED and SHARED alike: a lease gives more than SHARED asks for."""

    def __init__(self, subscription: Subscription, database: Database, membership: Membership, retry_delays: Sequence[timedelta]) -> None:
        self.topic = subscription.topic
        self.group = subscription.group
        self.choosing = asyncio.Lock()
        self.busy: frozenset[int] = frozenset()
        self._subscription = subscription
        self._membership = membership
        self._progress = Progress(database, membership.member, self.group, self.topic, retry_delays)
        self._has_work = asyncio.Event()
        self._has_retries = False
        self._is_behind = False
        """Whether more waits than one batch takes: then the next one needs no company."""
        self._pace = Pace(subscription.patience.total_seconds())

    def wake(self) -> None:
        self._has_work.set()

    def retry(self) -> None:
        self._has_retries = True
        self._has_work.set()

    async def run(self) -> None:
        """Consumes until cancelled, then gives its partitions back."""
        self._membership.add(self)
        pause = _FIRST_PAUSE_SECONDS
        try:
            await self._membership.look_again()
            while not is_cancelled():
                try:
                    await self._has_work.wait()
                    if not self._is_behind:
                        await self._pace.turn()
                    self._has_work.clear()
                    await self._work()
                    self._pace.done()
                    pause = _FIRST_PAUSE_SECONDS
                except Exception as error:
                    # A consumer outlives whatever happens: the events are still there.
                    _log.warning("consumer pauses", topic=self.topic, group=self.group, seconds=pause, exc_info=not is_away(error))
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
                    self._has_work.set()
        finally:
            await self._membership.leave(self)

    async def _work(self) -> None:
        if self._has_retries:
            self._has_retries = False
            await self._work_retries()
        await self._work_entries()

    async def _work_entries(self) -> None:
        async with self.choosing:
            entries = await self._progress.next_entries(self._subscription.batch_size)
            self.busy = frozenset(entry.partition_id for entry in entries)
        self._is_behind = _is_more_waiting(entries)
        if not entries:
            return
        try:
            failed = await attempt(self._subscription, [entry.event for entry in entries])
            await self._progress.ack(entries, failed)
        finally:
            self.busy = frozenset()
        if self._is_behind:
            self.wake()

    async def _work_retries(self) -> None:
        async with self.choosing:
            retries = await self._progress.due_retries(self._subscription.batch_size)
            self.busy = frozenset(retry.partition_id for retry in retries)
        if not retries:
            return
        try:
            failed = await attempt(self._subscription, [retry.event for retry in retries])
            await self._progress.settle(retries, failed)
        finally:
            self.busy = frozenset()


def _is_more_waiting(entries: Sequence[Entry]) -> bool:
    last = {entry.partition_id: entry for entry in entries}
    return any(entry.position < entry.head for entry in last.values())
