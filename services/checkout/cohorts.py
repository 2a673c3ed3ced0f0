"""Orders that set off together: their steps then fall together, and one transaction of each service carries all of them."""

from __future__ import annotations

import asyncio
from collections import deque

AT_ONCE = 96
"""Orders on their way in one process. More would all become slower, until none is submitted within its budget."""

_LONGEST_SECONDS = 0.15
"""How long those who wait stay for the last of a cohort."""


class Cohort:
    """Callers that were let in at the same time."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self.size = 0

    def leave(self) -> None:
        """One of them has done its work, or never began it."""
        self.size -= 1
        self._gate.left(self)


class Gate:
    """Lets callers in by cohorts: while one is on its way, the next gathers. Whoever finds nobody on the way waits for nothing."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[Cohort]] = deque()
        self._inside = 0
        self._ahead: Cohort | None = None
        """The cohort that those outside wait for."""

    async def enter(self) -> Cohort:
        """Waits to be let in; the caller leaves the cohort when its work is done."""
        place: asyncio.Future[Cohort] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        if self._ahead is None:
            self._open_soon()
        try:
            return await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                place.result().leave()
            raise

    def left(self, cohort: Cohort) -> None:
        """Somebody has left a cohort."""
        self._inside -= 1
        if cohort.size == 0:
            self._pass(cohort)
        elif self._ahead is None:
            self._open_soon()

    def _open(self) -> None:
        if self._ahead is not None:
            return
        cohort = Cohort(self)
        while self._waiting and self._inside < AT_ONCE:
            place = self._waiting.popleft()
            if not place.done():
                cohort.size += 1
                self._inside += 1
                place.set_result(cohort)
        if cohort.size:
            self._ahead = cohort
            asyncio.get_running_loop().call_later(_LONGEST_SECONDS, self._pass, cohort)

    def _pass(self, cohort: Cohort) -> None:
        """Those outside wait for a cohort no longer."""
        if self._ahead is cohort:
            self._ahead = None
        if self._ahead is None:
            self._open_soon()

    def _open_soon(self) -> None:
        """For all who come, and in place of all who leave, in the same round of the event loop."""
        asyncio.get_running_loop().call_soon(self._open)
