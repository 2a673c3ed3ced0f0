"""What groups gave up on or have yet to do, and giving it back to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from services.kit.database import Connection, Database
from services.kit.events.log import GROUPS, notify
from services.kit.events.port import REPLAY_AGE, Backlog, DeadLetter, ReplayTooOld
from services.kit.events.progress import EVENT_COLUMNS, event_of

_LIST = f"""
    SELECT failures.id::text, group_name, error, attempts, died_at, topic, {EVENT_COLUMNS}
    FROM failures JOIN partitions ON partitions.id = partition_id
    WHERE died_at IS NOT NULL AND (%(group)s::text IS NULL OR group_name = %(group)s)
    ORDER BY died_at, failures.id LIMIT %(limit)s
"""
_CHOSEN = """
    died_at IS NOT NULL AND (%(group)s::text IS NULL OR group_name = %(group)s) AND (%(ids)s::bigint[] IS NULL OR id = ANY (%(ids)s))
"""
_TOO_OLD = f"SELECT count(*) AS events FROM failures WHERE occurred_at < now() - %(age)s AND {_CHOSEN}"
_REVIVE = f"UPDATE failures SET attempts = 0, due_at = now(), died_at = NULL WHERE {_CHOSEN}"
# The next epoch: what was read before the rewind cannot be acked after it.
_REWIND = """
    UPDATE leases SET position = past.position, epoch = epoch + 1
    FROM (
        SELECT partitions.id, coalesce(
            (SELECT min(log.position) - 1 FROM log WHERE log.partition_id = partitions.id AND published_at >= %(to)s), head
        ) AS position
        FROM partitions WHERE topic = %(topic)s
    ) AS past
    WHERE leases.partition_id = past.id AND group_name = %(group)s AND leases.position > past.position
"""
_DEPTH = """
    SELECT group_name, topic, number, head - greatest(position, floor) AS waiting, (
        SELECT count(*) FROM failures
        WHERE failures.group_name = leases.group_name AND failures.partition_id = leases.partition_id AND due_at IS NOT NULL
    ) AS retrying
    FROM leases JOIN partitions ON partitions.id = partition_id
    WHERE %(group)s::text IS NULL OR group_name = %(group)s
    ORDER BY group_name, topic, number
"""


class DeadLetters:
    """The failures of all groups, for people and their tools."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self, group: str | None, limit: int) -> list[DeadLetter]:
        """See EventBus.dead_letters."""
        rows = await self._rows(_LIST, {"group": group, "limit": limit})
        return [DeadLetter(row[0], row[1], event_of(row[5], row[6:]), row[2], row[3], row[4]) for row in rows]

    async def replay(self, ids: Sequence[str] | None, group: str | None, *, force: bool) -> int:
        """See EventBus.replay."""
        values = {"group": group, "ids": None if ids is None else [int(id) for id in ids], "age": REPLAY_AGE}
        async with self._database.transaction() as tx:
            if not force:
                await _refuse_old(tx, values)
            replayed = (await tx.execute(_REVIVE, values)).rowcount
        async with self._database.connection() as connection:
            await notify(connection, GROUPS)
        return replayed

    async def rewind(self, topic: str, group: str, to: datetime) -> None:
        """See EventBus.rewind."""
        async with self._database.connection() as connection:
            await connection.execute(_REWIND, {"topic": topic, "group": group, "to": to})
            await notify(connection, GROUPS)

    async def depth(self, group: str | None) -> list[Backlog]:
        """See EventBus.depth."""
        return [Backlog(*row) for row in await self._rows(_DEPTH, {"group": group})]

    async def _rows(self, statement: str, values: Mapping[str, object]) -> list[tuple[Any, ...]]:
        async with self._database.connection() as connection:
            return (await connection.execute(statement.encode(), values)).tuples()


async def _refuse_old(tx: Connection, values: Mapping[str, object]) -> None:
    row = await (await tx.execute(_TOO_OLD, values)).fetchone()
    if row and row["events"]:
        raise ReplayTooOld(
            f"{row['events']} of the dead letters occurred over {REPLAY_AGE.days} days ago, so their work could be done twice."
        )
