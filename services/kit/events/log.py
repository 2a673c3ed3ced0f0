"""The log in PostgreSQL: topics, their partitions, and appending to them."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from services.kit.database import Connection, Database
from services.kit.errors import Unavailable
from services.kit.events.port import Event, Topic, TopicChanged, UndeclaredTopic

PUBLISHED = "events_published"
"""Channel of NOTIFY; the payload names the topics of a batch, separated by commas."""
GROUPS = "events_groups"
"""Channel of NOTIFY: members, leases, topics or failures changed, so every process looks again."""

_DECLARE = """
    INSERT INTO topics (name, partitions, retention) VALUES (%(name)s, %(partitions)s, %(retention)s)
    ON CONFLICT (name) DO UPDATE SET retention = excluded.retention
    RETURNING partitions
"""
_ADD_PARTITIONS = """
    INSERT INTO partitions (topic, number) SELECT %(name)s, generate_series(0, %(partitions)s - 1)
    ON CONFLICT (topic, number) DO NOTHING
"""
# The partitions are locked in the order of their ids, so that two publishers of several topics never wait for each other in a circle.
# Whoever waited for a lock looks at the row again: a partition closed meanwhile is not among the locked, and then nothing is appended.
_APPEND = """
    WITH incoming AS MATERIALIZED (
        SELECT *, row_number() OVER (PARTITION BY partition_id ORDER BY place) AS nth
        FROM unnest(
            %(partition_ids)s::int[], %(ids)s::uuid[], %(keys)s::text[], %(types)s::text[], %(subjects)s::text[], %(versions)s::bigint[],
            %(payloads)s::bytea[], %(sources)s::text[], %(occurred)s::timestamptz[], %(traceparents)s::text[]
        ) WITH ORDINALITY AS event (
            partition_id, event_id, key, type, subject, aggregate_version, payload, source, occurred_at, traceparent, place
        )
    ), counts AS MATERIALIZED (
        SELECT partition_id, count(*) AS events FROM incoming GROUP BY partition_id
    ), locked AS MATERIALIZED (
        SELECT id FROM partitions WHERE id IN (SELECT partition_id FROM counts) AND NOT is_closed ORDER BY id FOR UPDATE
    ), moved AS (
        UPDATE partitions SET head = head + counts.events FROM counts JOIN locked ON locked.id = counts.partition_id
        WHERE partitions.id = counts.partition_id AND (SELECT count(*) FROM locked) = (SELECT count(*) FROM counts)
        RETURNING partitions.id, partitions.head - counts.events AS before
    )
    INSERT INTO log (
        partition_id, position, event_id, key, type, subject, aggregate_version, payload, source, occurred_at, traceparent
    )
    SELECT moved.id, moved.before + nth, event_id, key, type, subject, aggregate_version, payload, source, occurred_at, traceparent
    FROM incoming JOIN moved ON moved.id = incoming.partition_id
"""


def partition_of(key: str, partitions: int) -> int:
    """The partition a key lives in: the same in every process and for ever."""
    return zlib.crc32(key.encode()) % partitions


async def notify(connection: Connection, channel: str, payload: str = "") -> None:
    """Wakes the processes that listen.

    On its own, after the commit: a transaction that both writes and notifies holds a lock of the whole server while its WAL is flushed.
    """
    await connection.execute("SELECT pg_notify(%s, %s)", (channel, payload))


class Log:
    """Appends events; knows each topic's partitions."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._partition_ids: dict[str, list[int]] = {}

    async def declare(self, topics: Sequence[Topic]) -> None:
        """See EventBus.declare."""
        async with self._database.transaction() as tx:
            for topic in sorted(topics, key=lambda topic: topic.name):
                values = {"name": topic.name, "partitions": topic.partitions, "retention": topic.retention}
                row = await (await tx.execute(_DECLARE, values)).fetchone()
                if row is None or row["partitions"] != topic.partitions:
                    raise TopicChanged(f"{topic.name} has {row and row['partitions']} partitions, not {topic.partitions}")
                await tx.execute(_ADD_PARTITIONS, values)
        async with self._database.connection() as connection:
            await notify(connection, GROUPS)

    async def append(self, events: Sequence[Event]) -> None:
        """Appends in one statement; see EventBus.publish.

        Raises:
            Unavailable: a partition is closed, since its events are being moved to another bus (moving.py).
        """
        partition_ids = [await self._partition_id(event.topic, event.key) for event in events]
        values = {
            "partition_ids": partition_ids,
            "ids": [event.id for event in events],
            "keys": [event.key for event in events],
            "types": [event.type for event in events],
            "subjects": [event.subject for event in events],
            "versions": [event.aggregate_version for event in events],
            "payloads": [event.payload for event in events],
            "sources": [event.source for event in events],
            "occurred": [event.occurred_at for event in events],
            "traceparents": [event.traceparent for event in events],
        }
        async with self._database.connection() as connection:
            appended = await connection.execute(_APPEND, values)
            if appended.rowcount < len(events):
                raise Unavailable("the event bus is closed: its events are being moved")
            await notify(connection, PUBLISHED, ",".join({event.topic for event in events}))

    async def _partition_id(self, topic: str, key: str) -> int:
        ids = self._partition_ids.get(topic) or await self._look_up(topic)
        return ids[partition_of(key, len(ids))]

    async def _look_up(self, topic: str) -> list[int]:
        async with self._database.connection() as connection:
            found = await connection.execute("SELECT id FROM partitions WHERE topic = %s ORDER BY number", (topic,))
            ids = [row[0] for row in found.tuples()]
        if not ids:
            raise UndeclaredTopic(f"nobody declared the topic {topic}")
        self._partition_ids[topic] = ids
        return ids
