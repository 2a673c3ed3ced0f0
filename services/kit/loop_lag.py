"""How late the event loop is: what every call waits for when something in the process doesn't let go."""

from __future__ import annotations

import asyncio
import time

_EVERY_SECONDS = 0.1


class LoopLag:
    """Gauges of the loop's delay, in seconds."""

    def __init__(self) -> None:
        self.seconds = 0.0
        """The latest measurement."""
        self._worst = 0.0

    def take_worst(self) -> float:
        """The longest delay since this was last asked."""
        worst, self._worst = self._worst, 0.0
        return worst

    async def measure(self) -> None:
        """Measures until cancelled."""
        while True:
            due = time.monotonic() + _EVERY_SECONDS
            await asyncio.sleep(_EVERY_SECONDS)
            self.seconds = max(0.0, time.monotonic() - due)
            self._worst = max(self._worst, self.seconds)
