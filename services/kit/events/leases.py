"""Who works which partition: members, their fair share, and leases with a fencing epoch. SQL only; `membership.py` decides when.

A member is a process. It holds its leases as long as it says that it lives; when it falls silent, others take them, each with the next
epoch, and what the silent one still tries to ack names an old one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from uuid import uuid4

from services.kit.database import Connection
from services.kit.values import value

LEASE = timedelta(seconds=2)
"""A member silent for so long is taken for dead."""

_MINE = "mine AS (SELECT * FROM unnest(%(groups)s::text[], %(topics)s::text[]) AS mine (group_name, topic))"

# What this member no longer consumes, but could not give back when it stopped, is given back here.
_BEAT = f"""
    WITH {_MINE}, gone AS (
        DELETE FROM subscribers WHERE member_id = %(member)s AND (group_name, topic) NOT IN (SELECT group_name, topic FROM mine)
        RETURNING group_name, topic
    ), given_back AS (
        UPDATE leases SET owner = NULL FROM gone JOIN partitions USING (topic)
        WHERE leases.group_name = gone.group_name AND leases.partition_id = partitions.id AND owner = %(member)s
    ), beat AS (
        INSERT INTO members (id, process, expires_at) VALUES (%(member)s, %(process)s, now() + %(lease)s)
        ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at
    ), joined AS (
        INSERT INTO subscribers (group_name, topic, member_id) SELECT group_name, topic, %(member)s FROM mine
        ON CONFLICT DO NOTHING RETURNING 1
    ), added AS (
        INSERT INTO leases (group_name, partition_id, position)
        SELECT mine.group_name, partitions.id, partitions.floor FROM mine JOIN partitions USING (topic)
        WHERE NOT EXISTS (
            SELECT FROM leases WHERE leases.group_name = mine.group_name AND leases.partition_id = partitions.id
        ) ON CONFLICT DO NOTHING
    )
    SELECT count(*) AS joined FROM joined
"""
# Members of a group are ordered by a hash, so that what doesn't divide evenly falls to another member in each group.
_SURVEY = f"""
    WITH {_MINE}, alive AS MATERIALIZED (
        SELECT group_name, topic, member_id, count(*) OVER (PARTITION BY group_name, topic) AS members, row_number() OVER (
            PARTITION BY group_name, topic ORDER BY md5(member_id::text || group_name || topic)
        ) AS place
        FROM mine JOIN subscribers USING (group_name, topic) JOIN members ON members.id = member_id
        WHERE expires_at > now()
    ), due AS MATERIALIZED (
        SELECT DISTINCT group_name, partition_id FROM failures WHERE due_at <= now()
    ), held AS MATERIALIZED (
        SELECT mine.group_name, topic, count(*) AS partitions, count(*) FILTER (WHERE owner = %(member)s) AS held,
            bool_or(owner = %(member)s AND head > greatest(position, floor)) AS is_behind,
            bool_or(owner = %(member)s AND due.partition_id IS NOT NULL) AS has_due_failures
        FROM mine JOIN partitions USING (topic)
        JOIN leases ON leases.group_name = mine.group_name AND leases.partition_id = partitions.id
        LEFT JOIN due ON due.group_name = mine.group_name AND due.partition_id = partitions.id
        GROUP BY mine.group_name, topic
    )
    SELECT group_name, topic, is_behind, has_due_failures,
        partitions / members + (place <= partitions %% members)::int - held AS wanted
    FROM alive JOIN held USING (group_name, topic) WHERE member_id = %(member)s
"""
# A rival's claim that committed first has raised the epoch, so that this one finds its row changed and leaves it.
_CLAIM = """
    WITH wanted AS (
        SELECT * FROM unnest(%(groups)s::text[], %(topics)s::text[], %(counts)s::bigint[]) AS wanted (group_name, topic, count)
    ), free AS (
        SELECT leases.group_name, leases.partition_id, leases.epoch, wanted.count,
            row_number() OVER (PARTITION BY leases.group_name, topic ORDER BY partition_id) AS nth
        FROM wanted JOIN partitions USING (topic)
        JOIN leases ON leases.group_name = wanted.group_name AND leases.partition_id = partitions.id
        WHERE NOT EXISTS (SELECT FROM members WHERE members.id = leases.owner AND expires_at > now())
    )
    UPDATE leases SET owner = %(member)s, epoch = leases.epoch + 1 FROM free
    WHERE leases.group_name = free.group_name AND leases.partition_id = free.partition_id AND leases.epoch = free.epoch
    AND nth <= count
"""
_RELEASE = """
    UPDATE leases SET owner = NULL WHERE group_name = %(group)s AND partition_id IN (
        SELECT partition_id FROM leases JOIN partitions ON partitions.id = partition_id
        WHERE group_name = %(group)s AND topic = %(topic)s AND owner = %(member)s AND partition_id <> ALL (%(busy)s::int[])
        ORDER BY partition_id LIMIT %(count)s
    )
"""
_LEAVE = """
    WITH left_group AS (
        DELETE FROM subscribers WHERE group_name = %(group)s AND topic = %(topic)s AND member_id = %(member)s
    )
    UPDATE leases SET owner = NULL
    WHERE group_name = %(group)s AND owner = %(member)s AND partition_id IN (SELECT id FROM partitions WHERE topic = %(topic)s)
"""


@value
class Standing:
    """Where this process stands in one of its groups."""

    group: str
    topic: str
    wanted: int
    """How many partitions its fair share lacks; negative when it holds more than that."""
    is_behind: bool
    """A partition it holds has events after the group's position."""
    has_due_failures: bool


class Leases:
    """This process as a member of groups; each instance is a member of its own."""

    def __init__(self, process: str) -> None:
        self.member = str(uuid4())
        self._process = process

    async def beat(self, connection: Connection, groups: Iterable[tuple[str, str]]) -> bool:
        """Says that this member lives and what it consumes, (group, topic) pairs; returns whether any is new."""
        cursor = await connection.execute(_BEAT, {**self._columns(groups), "process": self._process, "lease": LEASE})
        row = await cursor.fetchone()
        return bool(row and row["joined"])

    async def survey(self, connection: Connection, groups: Iterable[tuple[str, str]]) -> list[Standing]:
        """Looks at all of this process's groups at once."""
        rows = await (await connection.execute(_SURVEY, self._columns(groups))).fetchall()
        return [
            Standing(row["group_name"], row["topic"], row["wanted"], bool(row["is_behind"]), bool(row["has_due_failures"])) for row in rows
        ]

    async def claim(self, connection: Connection, standings: Sequence[Standing]) -> bool:
        """Takes free partitions up to each fair share; returns whether there were any."""
        values = self._columns((standing.group, standing.topic) for standing in standings)
        cursor = await connection.execute(_CLAIM, {**values, "counts": [standing.wanted for standing in standings]})
        return cursor.rowcount > 0

    async def release(self, connection: Connection, group: str, topic: str, count: int, busy: Iterable[int]) -> bool:
        """Gives back up to `count` partitions, none of the busy ones; returns whether any was given."""
        values = {"group": group, "topic": topic, "member": self.member, "count": count, "busy": list(busy)}
        return (await connection.execute(_RELEASE, values)).rowcount > 0

    async def leave(self, connection: Connection, group: str, topic: str) -> None:
        """Gives back everything held in a group and leaves it."""
        await connection.execute(_LEAVE, {"group": group, "topic": topic, "member": self.member})

    async def retire(self, connection: Connection) -> None:
        """Ends this member."""
        await connection.execute("DELETE FROM members WHERE id = %s", (self.member,))

    def _columns(self, groups: Iterable[tuple[str, str]]) -> dict[str, object]:
        pairs = list(groups)
        return {"groups": [group for group, _ in pairs], "topics": [topic for _, topic in pairs], "member": self.member}
