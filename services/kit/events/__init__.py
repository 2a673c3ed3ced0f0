"""The event bus: the port, and its adapters on PostgreSQL and on Pulsar."""

from collections.abc import Sequence
from datetime import timedelta

from services.kit.events.port import LONGEST_DELAY, RETRY_DELAYS, EventBus
from services.kit.events.postgres_bus import PostgresBus


def event_bus(url: str, *, retry_delays: Sequence[timedelta] = RETRY_DELAYS) -> EventBus:
    """The bus at an address (BAZAAR_EVENTS_URL), not yet open.

    Raises:
        ValueError: no adapter serves the address's scheme, the address lacks a part, or a delay is over 15 minutes.
    """
    if any(delay > LONGEST_DELAY for delay in retry_delays):
        raise ValueError(f"An event waits {LONGEST_DELAY // timedelta(minutes=1)} minutes at most; a due time of its row waits longer.")
    scheme = url.partition("://")[0]
    if scheme in ("postgres", "postgresql"):
        return PostgresBus(url, retry_delays=retry_delays)
    if scheme in ("pulsar", "pulsar+ssl"):
        # The client is a library of 20 MB, which a process on the other bus has no use for.
        from services.kit.events.pulsar.bus import PulsarBus

        return PulsarBus(url, retry_delays=retry_delays)
    raise ValueError(f"BAZAAR_EVENTS_URL begins with {scheme}://, for which there is no event bus: use postgres:// or pulsar://")
