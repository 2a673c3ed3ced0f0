"""The shop's invariants, checked on a home that runs.

Services are read one after the other while orders go on, so what differs at one look may only have been on its way: what counts is what
differs at every look.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tests.invariants import Servers
from tools.bus import events_url
from tools.credentials import postgres_of
from tools.home import Home


def servers_of(home: Home) -> Servers:
    """Where a home keeps things."""
    postgres = postgres_of(home)
    databases, events = postgres.url("bazaar_{service}", "bazaar_{service}"), events_url(home)
    return Servers(databases, events, home.folder("sandbox") / "books.sqlite")


async def lasting(look: Callable[[], Awaitable[list[str]]], looks: int, pause_seconds: float) -> list[str]:
    """What every one of the looks finds; ends with the first that finds nothing new left."""
    found = await look()
    for _ in range(looks - 1):
        if not found:
            break
        await asyncio.sleep(pause_seconds)
        again = set(await look())
        found = [sentence for sentence in found if sentence in again]
    return found
