"""Which version of the ranking answers, read from PostgreSQL at most a second late."""

from __future__ import annotations

import time

from services.ranking.store_versions import VersionStore

FRESH_SECONDS = 1.0


class LiveGeneration:
    """The live version's number, remembered for a second."""

    def __init__(self, store: VersionStore) -> None:
        self._store = store
        self._generation = 0
        self._read_at = float("-inf")

    async def current(self) -> int:
        """The version that answers; an old one goes on answering for at least as long as anybody may remember it."""
        if time.monotonic() - self._read_at > FRESH_SECONDS:
            self._generation = await self._store.live()
            self._read_at = time.monotonic()
        return self._generation
