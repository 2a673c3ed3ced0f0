"""A process's heartbeat: one connection that listens for wake-ups, says that the process lives, and sees to its fair share of partitions.

Every 0.4 seconds, and whenever a group changes anywhere, it looks at all of this process's groups in three statements. That look is also
the slow poll: it wakes consumers that are behind, should a notification have been lost.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from typing import Protocol

import psycopg
import structlog
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import dict_row

from services.kit.database import Connection, Database, session_url
from services.kit.errors import Unavailable
from services.kit.events.leases import Leases, Standing
from services.kit.events.log import GROUPS, PUBLISHED, notify

BEAT_SECONDS = 0.4
_RECONNECT_SECONDS = 0.25

_log = structlog.get_logger(__name__)


class Waker(Protocol):
    """What waits for a topic."""

    @property
    def topic(self) -> str: ...

    def wake(self) -> None:
        """There may be something to read."""
        ...


class GroupMember(Waker, Protocol):
    """What works partitions for a group."""

    @property
    def group(self) -> str: ...

    @property
    def choosing(self) -> asyncio.Lock:
        """Held while it chooses what to work on."""
        ...

    @property
    def busy(self) -> frozenset[int]:
        """The partitions it is working on."""
        ...

    def retry(self) -> None:
        """Failed events are due."""
        ...


class Membership:
    """This process among the consumers of the bus."""

    def __init__(self, url: str, database: Database) -> None:
        self._url = session_url(relaxed_url(url))
        self._database = database
        self._leases = Leases(f"{socket.gethostname()}:{os.getpid()}")
        self._consumers: dict[tuple[str, str], GroupMember] = {}
        self._listeners: set[Waker] = set()
        self._looking = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    @property
    def member(self) -> str:
        return self._leases.member

    def add(self, consumer: GroupMember) -> None:
        """Takes partitions for a consumer from the next look on.

        Raises:
            ValueError: this process consumes the topic for this group already.
        """
        name = (consumer.group, consumer.topic)
        if name in self._consumers:
            raise ValueError(f"{consumer.group} consumes {consumer.topic} already in this process")
        self._consumers[name] = consumer

    async def leave(self, consumer: GroupMember) -> None:
        """Gives back a consumer's partitions at once."""
        async with self._looking:
            self._consumers.pop((consumer.group, consumer.topic), None)
            try:
                async with self._database.connection() as connection:
                    await self._leases.leave(connection, consumer.group, consumer.topic)
                    await notify(connection, GROUPS)
            except Unavailable:
                _log.warning("partitions were not given back, their lease will expire", group=consumer.group, topic=consumer.topic)

    def add_listener(self, waker: Waker) -> None:
        """Wakes a reader that belongs to no group."""
        self._listeners.add(waker)

    def remove_listener(self, waker: Waker) -> None:
        self._listeners.discard(waker)

    async def look_again(self) -> None:
        """Has the next look now; the first call starts the heartbeat."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="event bus membership")
            return
        try:
            async with self._database.connection() as connection:
                await notify(connection, GROUPS)
        except Unavailable:
            _log.warning("the event bus is away, a new consumer waits for the next heartbeat")

    async def close(self) -> None:
        """Ends this member."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.wait([self._task])
        try:
            async with self._database.connection() as connection:
                await self._leases.retire(connection)
                await notify(connection, GROUPS)
        except Unavailable:
            _log.warning("the event bus is away, the member will expire")

    async def _run(self) -> None:
        while True:
            try:
                async with await Connection.connect(self._url, autocommit=True, row_factory=dict_row) as connection:
                    await connection.execute(f"LISTEN {PUBLISHED}".encode())
                    await connection.execute(f"LISTEN {GROUPS}".encode())
                    await self._beat_on(connection)
            except Exception as error:
                # Whatever it is: a process without a heartbeat would serve on, and consume nothing any more.
                _log.warning("the event bus's heartbeat failed", error=str(error), exc_info=not isinstance(error, psycopg.Error))
                await asyncio.sleep(_RECONNECT_SECONDS)

    async def _beat_on(self, connection: Connection) -> None:
        while True:
            next_beat = time.monotonic() + BEAT_SECONDS
            await self._look(connection)
            groups_changed = False
            while not groups_changed and (wait := next_beat - time.monotonic()) > 0:
                async for notification in connection.notifies(timeout=wait, stop_after=1):
                    if notification.channel == GROUPS:
                        groups_changed = True
                    else:
                        self._wake_topics(notification.payload.split(","))

    async def _look(self, connection: Connection) -> None:
        for listener in self._listeners:
            listener.wake()
        async with self._looking:
            if not self._consumers:
                return
            groups = list(self._consumers)
            if await self._leases.beat(connection, groups):
                await notify(connection, GROUPS)
            standings = await self._leases.survey(connection, groups)
            for standing in standings:
                await self._follow_up(connection, standing)
            short = [standing for standing in standings if standing.wanted > 0]
            if short and await self._leases.claim(connection, short):
                for standing in short:
                    self._consumers[standing.group, standing.topic].wake()

    async def _follow_up(self, connection: Connection, standing: Standing) -> None:
        consumer = self._consumers[standing.group, standing.topic]
        if standing.has_due_failures:
            consumer.retry()
        elif standing.is_behind:
            consumer.wake()
        # One that is choosing right now is left alone until the next look: the heartbeat must not wait for it.
        if standing.wanted < 0 and not consumer.choosing.locked():
            async with consumer.choosing:
                released = await self._leases.release(connection, standing.group, standing.topic, -standing.wanted, consumer.busy)
            if released:
                await notify(connection, GROUPS)

    def _wake_topics(self, topics: list[str]) -> None:
        for waker in (*self._consumers.values(), *self._listeners):
            if waker.topic in topics:
                waker.wake()


def relaxed_url(url: str) -> str:
    """Sessions whose commits don't wait for the disk: an ack or a lease that a crash undoes only brings its events once more."""
    options = conninfo_to_dict(url).get("options") or ""
    return make_conninfo(url, options=f"{options} -c synchronous_commit=off".strip())
