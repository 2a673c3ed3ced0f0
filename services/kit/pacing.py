"""Turns with a shortest time between them, so that work which comes in drops is done in batches."""

from __future__ import annotations

import asyncio


class Pace:
    """Lets a loop go on at once after a rest, and under load once an interval: a batch costs about what one event does.

    Args:
        seconds: from the start of one turn to the start of the next, at least.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._next = 0.0

    async def turn(self) -> None:
        """Waits until the next turn may begin."""
        loop = asyncio.get_running_loop()
        if (wait := self._next - loop.time()) > 0:
            await asyncio.sleep(wait)
        self._next = loop.time() + self._seconds
