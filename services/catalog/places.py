"""How far the change streams of the catalogue were carried, in PostgreSQL beside the outbox."""

from __future__ import annotations

from collections.abc import Sequence

import bson

from services.kit import outbox
from services.kit.change_stream import Place
from services.kit.database import Database
from services.kit.events.port import Event
from services.kit.leader import Lease

_READ = "SELECT token, found_up_to FROM places WHERE collection = %s"
_KEEP = """
INSERT INTO places (collection, token, found_up_to) VALUES (%s, %b, %s)
ON CONFLICT (collection) DO UPDATE SET token = excluded.token, found_up_to = excluded.found_up_to
"""


class PlaceStore:
    """Raises, from every method: Unavailable: PostgreSQL is away; after `keep` it isn't known whether the place was kept."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, collection: str) -> Place | None:
        """The place kept last; None before the first one."""
        async with self._database.connection() as connection:
            row = await (await connection.execute(_READ, [collection])).fetchone()
        return Place(bson.decode(row["token"]), row["found_up_to"]) if row else None

    async def keep(self, lease: Lease, collection: str, place: Place, events: Sequence[Event]) -> None:
        """Keeps a place and appends the events up to it, both or nothing.

        Raises:
            LeaseLost: another process leads.
        """
        async with self._database.transaction() as tx:
            await lease.fence(tx)
            tx.defer(_KEEP, [collection, bson.encode(place.token), place.found_up_to])
            outbox.append(tx, events)
