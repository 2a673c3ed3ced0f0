"""Turns with a shortest time between them, so that work which comes in drops is done in batches."""

from __future__ import annotations

import asyncio

_SHARE = 4
"""How many times as long as its work a turn lasts: what goes on beside the requests leaves most of a busy machine to them."""

_LONGEST_SECONDS = 0.4


class Pace:
    """Lets a loop go on at once after a rest, and under load once a turn: a batch costs about what one event does.

    For who tells when the work is done, a turn lasts four times as long as the work, up to 0.4 seconds: the slower everything becomes, the
    more goes together.

    Args:
        seconds: from the start of one turn to the start of the next, at least.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._begun = 0.0
        self._next = 0.0

    async def turn(self) -> None:
        """Waits until the next turn may begin."""
        loop = asyncio.get_running_loop()
        if (wait := self._next - loop.time()) > 0:
            await asyncio.sleep(wait)
        self._begun = loop.time()
        self._next = self._begun + self._seconds

    def done(self) -> None:
        """The turn's work has ended; without this the turn lasts no longer than the shortest."""
        took = asyncio.get_running_loop().time() - self._begun
        self._next = self._begun + max(self._seconds, min(_SHARE * took, _LONGEST_SECONDS))
