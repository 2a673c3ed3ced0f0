"""What a service has to say, before its relay takes it."""

from __future__ import annotations

from services.kit.database import Database
from services.kit.events.port import Event

_READ = """
SELECT event_id::text AS id, topic, key, type, subject, aggregate_version, payload, source, occurred_at, traceparent FROM outbox ORDER BY id
"""


async def told(database: Database) -> list[Event]:
    """The events in the outbox, in the order in which they will be published."""
    async with database.connection() as connection:
        return [Event(**row) for row in await (await connection.execute(_READ)).fetchall()]
