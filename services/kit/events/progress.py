"""A group's progress through a topic's log: what it reads next, acks, and failed at. Stateless: the lease rows know it all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from services.kit.database import Database
from services.kit.events.port import Event
from services.kit.values import value

EVENT_COLUMNS = "event_id::text, key, type, subject, aggregate_version, payload, source, occurred_at, traceparent"

# At most `size` partitions take part, any of them, so that none starves; each gives its share of the batch.
_NEXT = f"""
    WITH behind AS MATERIALIZED (
        SELECT partition_id, epoch, head, greatest(position, floor) AS position, greatest(1, %(size)s / count(*) OVER ()) AS share
        FROM leases JOIN partitions ON partitions.id = partition_id
        WHERE group_name = %(group)s AND topic = %(topic)s AND owner = %(member)s AND head > greatest(position, floor)
        ORDER BY random() LIMIT %(size)s
    )
    SELECT behind.partition_id, epoch, head, log.position, {EVENT_COLUMNS}
    FROM behind CROSS JOIN LATERAL (
        SELECT * FROM log WHERE log.partition_id = behind.partition_id AND log.position > behind.position
        ORDER BY log.position LIMIT behind.share
    ) AS log
    ORDER BY behind.partition_id, log.position
"""
_MOVE = """
    UPDATE leases SET position = done.position
    FROM unnest(%(partitions)s::int[], %(epochs)s::bigint[], %(positions)s::bigint[]) AS done (partition_id, epoch, position)
    WHERE leases.group_name = %(group)s AND leases.partition_id = done.partition_id AND leases.epoch = done.epoch AND owner = %(member)s
    RETURNING leases.partition_id
"""
_MOVE_AND_PARK = f"""
    WITH moved AS ({_MOVE})
    INSERT INTO failures (
        group_name, partition_id, position, attempts, error, due_at,
        event_id, key, type, subject, aggregate_version, payload, source, occurred_at, traceparent
    )
    SELECT %(group)s, log.partition_id, log.position, 1, failed.error, now() + %(delay)s,
        event_id, key, type, subject, aggregate_version, payload, source, occurred_at, traceparent
    FROM unnest(%(failed_partitions)s::int[], %(failed_positions)s::bigint[], %(errors)s::text[]) AS failed (partition_id, position, error)
    JOIN moved USING (partition_id) JOIN log USING (partition_id, position)
"""
_DUE = f"""
    SELECT failures.partition_id, epoch, failures.position, attempts, failures.id, {EVENT_COLUMNS}
    FROM failures JOIN leases USING (group_name, partition_id) JOIN partitions ON partitions.id = partition_id
    WHERE group_name = %(group)s AND topic = %(topic)s AND owner = %(member)s AND due_at <= now()
    ORDER BY failures.id LIMIT %(size)s
"""
_FORGET = """
    DELETE FROM failures USING unnest(%(ids)s::bigint[], %(epochs)s::bigint[]) AS done (id, epoch), leases
    WHERE failures.id = done.id AND leases.group_name = failures.group_name AND leases.partition_id = failures.partition_id
    AND leases.epoch = done.epoch AND owner = %(member)s
"""
# No delay is left for the last attempt: the event is dead.
_FAIL_AGAIN = """
    UPDATE failures SET attempts = attempts + 1, error = failed.error,
        due_at = now() + (%(delays)s::interval[])[attempts + 1],
        died_at = CASE WHEN attempts + 1 > cardinality(%(delays)s::interval[]) THEN now() END
    FROM unnest(%(ids)s::bigint[], %(epochs)s::bigint[], %(errors)s::text[]) AS failed (id, epoch, error), leases
    WHERE failures.id = failed.id AND leases.group_name = failures.group_name AND leases.partition_id = failures.partition_id
    AND leases.epoch = failed.epoch AND owner = %(member)s
"""


@value
class Entry:
    """An event of the log that this process may work."""

    partition_id: int
    epoch: int
    """Of the lease it was read under."""
    head: int
    """The partition's newest position at that time."""
    position: int
    event: Event


@value
class Retry:
    """A failed event that is due again."""

    partition_id: int
    epoch: int
    position: int
    attempts: int
    id: int
    event: Event


def event_of(topic: str, columns: Sequence[Any]) -> Event:
    """An event from EVENT_COLUMNS."""
    return Event(columns[0], topic, *columns[1:])


class Progress:
    """One group's reading of one topic, as one member.

    Args:
        retry_delays: how long a failed event waits before each new attempt; dead after the last.
    """

    def __init__(self, database: Database, member: str, group: str, topic: str, retry_delays: Sequence[timedelta]) -> None:
        self._database = database
        self._topic = topic
        self._retry_delays = list(retry_delays)
        self._who = {"member": member, "group": group, "topic": topic}

    async def next_entries(self, size: int) -> list[Entry]:
        """Up to `size` events after the group's positions in the partitions that this member holds, each partition's in order."""
        rows = await self._rows(_NEXT, size)
        return [Entry(row[0], row[1], row[2], row[3], event_of(self._topic, row[4:])) for row in rows]

    async def ack(self, entries: Sequence[Entry], failed: Mapping[int, str]) -> None:
        """Moves the group's positions past the entries and stores the failed ones (index → error) for another try, as one.

        What belongs to a partition that has another owner by now is left alone: that one does it again.
        """
        last = {entry.partition_id: entry for entry in entries}
        values = {
            **self._who,
            "partitions": list(last),
            "epochs": [entry.epoch for entry in last.values()],
            "positions": [entry.position for entry in last.values()],
        }
        if failed:
            values |= {
                "failed_partitions": [entries[place].partition_id for place in failed],
                "failed_positions": [entries[place].position for place in failed],
                "errors": list(failed.values()),
                "delay": self._retry_delays[0],
            }
        async with self._database.connection() as connection:
            await connection.execute(_MOVE_AND_PARK if failed else _MOVE, values)

    async def due_retries(self, size: int) -> list[Retry]:
        """Failed events to be tried again now, the longest known first."""
        rows = await self._rows(_DUE, size)
        return [Retry(row[0], row[1], row[2], row[3], row[4], event_of(self._topic, row[5:])) for row in rows]

    async def settle(self, retries: Sequence[Retry], failed: Mapping[int, str]) -> None:
        """Forgets the retries that succeeded; the failed ones (index → error) wait for their next attempt, or die."""
        done = [retry for place, retry in enumerate(retries) if place not in failed]
        again = [retries[place] for place in failed]
        async with self._database.transaction() as tx:
            if done:
                await tx.execute(_FORGET, {**self._who, **_terms(done)})
            if again:
                values = {**_terms(again), "errors": list(failed.values()), "delays": self._retry_delays}
                await tx.execute(_FAIL_AGAIN, {**self._who, **values})

    async def _rows(self, statement: str, size: int) -> list[tuple[Any, ...]]:
        async with self._database.connection() as connection:
            return (await connection.execute(statement.encode(), {**self._who, "size": size})).tuples()


def _terms(retries: Sequence[Retry]) -> dict[str, object]:
    return {"ids": [retry.id for retry in retries], "epochs": [retry.epoch for retry in retries]}
