"""What a home does when the bus of its events changes: new workers in the places of the old; and when a change was broken off."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

from tools import ExpectedFailure
from tools.bus import Bus, plan, planned
from tools.child import Child
from tools.home import Home
from tools.stack import Stack

MOVING = "moving"
"""The lock of whoever moves a home's events."""
SEEN_BY_THE_EDGE = 2.5
"""Seconds after which the edge, which asks its workers every second, knows that one is back."""
_LAST_WORDS = 10.0
"""Seconds that a mover has to notice that its home went down."""


async def take_events_again(home: Home, url: str) -> None:
    """Opens the bus in PostgreSQL, should somebody who was to move its events have died over it.

    Raises:
        ExpectedFailure: that one lives, and would leave behind what is published from now on.
    """
    if planned(home) is None:
        return
    # Loaded here: a supervisor has no other use for what it brings along.
    from services.kit.events.departure import Departure

    lock = await _lock_of_movers(home)
    departure = Departure(url)
    await departure.open()
    try:
        await departure.shut(is_shut=False)
        plan(home, None)
    finally:
        await departure.close()
        os.close(lock)


async def _lock_of_movers(home: Home) -> int:
    try:
        async with asyncio.timeout(_LAST_WORDS):
            while (lock := home.lock(MOVING)) is None:
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise ExpectedFailure(f"a ./bazaar migrate-events is at work on {home.path}") from None
    return lock


async def replace_workers(stack: Stack, children: Sequence[Child]) -> None:
    """Has workers with their events in Pulsar take the places of the old, one after the other: the edge sends calls to the rest.

    Raises:
        ExpectedFailure: one does not start.
    """
    stack.use(Bus.PULSAR)
    for worker in stack.workers:
        [child] = [each for each in children if each.server.name == worker.name]
        await child.replace(worker)
        await asyncio.sleep(SEEN_BY_THE_EDGE)
