"""The event bus: the port, and the adapter that keeps it in PostgreSQL."""

from collections.abc import Sequence
from datetime import timedelta

from services.kit.events.port import RETRY_DELAYS, EventBus
from services.kit.events.postgres_bus import PostgresBus


def event_bus(url: str, *, retry_delays: Sequence[timedelta] = RETRY_DELAYS) -> EventBus:
    """The bus at an address (BAZAAR_EVENTS_URL), not yet open.

    Raises:
        ValueError: no adapter serves the address's scheme.
    """
    scheme = url.partition("://")[0]
    if scheme in ("postgres", "postgresql"):
        return PostgresBus(url, retry_delays=retry_delays)
    raise ValueError(f"BAZAAR_EVENTS_URL begins with {scheme}://, for which there is no event bus: use postgres://")
