"""The PostgreSQL bus as what events move away from; `moving.py` decides when."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from datetime import timedelta
from typing import Any

from services.kit.database import Connection, Database
from services.kit.events.port import Event, Topic
from services.kit.events.progress import EVENT_COLUMNS, event_of
from services.kit.values import value

CONNECTIONS = 4
_BATCH = 1000

# In the order in which publishers lock them.
_SET_CLOSED = """
    WITH locked AS MATERIALIZED (SELECT id FROM partitions ORDER BY id FOR UPDATE)
    UPDATE partitions SET is_closed = %s FROM locked WHERE partitions.id = locked.id
"""
_PARTITIONS = """
    SELECT id, greatest(moved, floor), coalesce(min(greatest(position, floor)) FILTER (WHERE group_name IS NOT NULL), head), head
    FROM partitions LEFT JOIN leases ON partition_id = id
    WHERE topic = %s GROUP BY id ORDER BY id
"""
_READ = f"""
    SELECT position, {EVENT_COLUMNS} FROM log WHERE partition_id = %s AND position > %s AND position <= %s ORDER BY position LIMIT {_BATCH}
"""
_FAILURES = f"""
    SELECT failures.id, group_name, attempts, error,
        CASE WHEN died_at IS NULL THEN greatest(due_at - now(), interval '0') END, topic, {EVENT_COLUMNS}
    FROM failures JOIN partitions ON partitions.id = partition_id
    WHERE failures.id > %s ORDER BY failures.id LIMIT {_BATCH}
"""
_GROUPS = "SELECT DISTINCT topic, group_name FROM leases JOIN partitions ON id = partition_id ORDER BY topic, group_name"
# Over the groups that somebody consumes for: nobody works off what is left to others.
_WAITING = """
    SELECT coalesce(sum(head - greatest(position, floor)), 0)::bigint
    FROM leases JOIN partitions ON partitions.id = partition_id JOIN members ON members.id = owner AND expires_at > now()
"""
# The next epoch: a consumer that is at work right now can ack nothing any more.
_LEAVE_NOTHING = "UPDATE leases SET position = head, epoch = epoch + 1 FROM partitions WHERE partitions.id = partition_id"


@value
class Partition:
    """How far a partition has been worked and moved, in positions."""

    id: int
    moved: int
    """All up to here is on the other bus, or was dropped."""
    lowest: int
    """All up to here has been worked by every group."""
    head: int


@value
class Failure:
    """An event that a group failed at."""

    group: str
    event: Event
    attempts: int
    """How often it has failed."""
    error: str
    """Text of the last error."""
    delay: timedelta | None
    """Until the next attempt; None: it is dead."""


class Departure:
    """The bus that is left."""

    def __init__(self, url: str) -> None:
        self._database = Database(url, max_connections=CONNECTIONS)

    async def open(self) -> None:
        await self._database.open()

    async def close(self) -> None:
        await self._database.close()

    async def shut(self, *, is_shut: bool) -> None:
        """Takes no more events, or takes them again: returns when no publisher is at work under the former rule."""
        await self._execute(_SET_CLOSED, (is_shut,))

    async def topics(self) -> list[Topic]:
        return [Topic(*row) for row in await self._rows("SELECT name, partitions, retention FROM topics ORDER BY name")]

    async def groups(self) -> list[tuple[str, str]]:
        """Topic and group, for each that has ever consumed."""
        return [(topic, group) for topic, group in await self._rows(_GROUPS)]

    async def waiting(self) -> int:
        """How many events the groups that are at work have still to work, those that failed left out."""
        return (await self._rows(_WAITING))[0][0]

    async def partitions(self, topic: str) -> list[Partition]:
        return [Partition(*row) for row in await self._rows(_PARTITIONS, (topic,))]

    async def read(self, topic: str, partition: int, after: int, upto: int) -> AsyncGenerator[tuple[int, list[Event]]]:
        """The events of a partition between two positions, in batches of up to 1000; each with the position of its last event."""
        while rows := await self._rows(_READ, (partition, after, upto)):
            after = rows[-1][0]
            yield after, [event_of(topic, row[1:]) for row in rows]

    async def note(self, partition: int, moved: int) -> None:
        """Remembers that the other bus has everything up to a position."""
        await self._execute("UPDATE partitions SET moved = %s WHERE id = %s", (moved, partition))

    async def failures(self) -> AsyncGenerator[list[Failure]]:
        """What every group has failed at, in the order of the first failure and in batches of up to 1000."""
        last = 0
        while rows := await self._rows(_FAILURES, (last,)):
            last = rows[-1][0]
            yield [Failure(row[1], event_of(row[5], row[6:]), row[2], row[3], row[4]) for row in rows]

    async def leave(self) -> None:
        """Leaves nothing: the log is empty, groups stand at its end, and nothing has failed. It stays closed."""
        await self._database.run(_leave)

    async def _rows(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        async with self._database.connection() as connection:
            return (await connection.execute(statement.encode(), values)).tuples()

    async def _execute(self, statement: str, values: Sequence[object]) -> None:
        async with self._database.connection() as connection:
            await connection.execute(statement.encode(), values)


async def _leave(tx: Connection) -> None:
    # First, because a consumer that acks has the log's lock before it wants those of leases.
    await tx.execute("TRUNCATE log")
    await tx.execute("UPDATE partitions SET floor = head")
    await tx.execute(_LEAVE_NOTHING)
    await tx.execute("DELETE FROM failures")
