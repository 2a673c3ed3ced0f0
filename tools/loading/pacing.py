"""The two ways of putting load on: at a rate, whatever the answers (open loop), or by so many clients that wait for them (closed loop)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic as clock
from typing import TypeVar

from tools.loading.measures import Measures
from tools.shop import Refused

Shot = TypeVar("Shot")
Fire = Callable[[Shot, Measures], Awaitable[str]]
"""Makes a call: gets what was prepared for it and where its steps are noted, returns its kind (empty where there is only one)."""
Told = Callable[[int], None]

LEAD = 0.1
"""Seconds until the first shot. Times are the operating system's: uvloop's own clock knows whole milliseconds only."""
GRACE = 30.0
"""Seconds that the last answers may take once the time is up; what takes longer failed."""


async def open_loop(fire: Fire[Shot], shots: Sequence[Shot], rate: float, told: Told) -> Measures:
    """Fires the shots evenly, at `rate` a second.

    A latency counts from when the shot was due, not from when it got away: who can't keep up shows it (no coordinated omission).
    """
    measures = Measures()
    first = clock() + LEAD
    tasks: set[asyncio.Task[None]] = set()
    for number, shot in enumerate(shots):
        due = first + number / rate
        if (wait := due - clock()) > 0:
            await asyncio.sleep(wait)
        task = asyncio.create_task(_one(fire, shot, due, measures))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        told(number + 1)
    if tasks:
        _, late = await asyncio.wait(set(tasks), timeout=GRACE)
        for task in late:
            task.cancel()
        if late:
            measures.failures["UNANSWERED"] += len(late)
    measures.lasted = max(clock() - first, len(shots) / rate)
    return measures


async def closed_loop(fire: Fire[Shot], make: Callable[[], Awaitable[Shot]], seconds: float, concurrency: int, told: Told) -> Measures:
    """So many clients, each with one shot under way; a shot is made, untimed, between the client's timed ones."""
    measures = Measures()
    first = clock()

    async def client() -> None:
        while clock() - first < seconds:
            shot = await make()
            await _one(fire, shot, clock(), measures)
            told(min(int(clock() - first), int(seconds)))

    await asyncio.gather(*(client() for _ in range(concurrency)))
    measures.lasted = clock() - first
    return measures


async def _one(fire: Fire[Shot], shot: Shot, due: float, measures: Measures) -> None:
    try:
        kind = await fire(shot, measures)
    except Refused as refused:
        measures.failures[refused.reason] += 1
    else:
        measures.add(clock() - due, kind)
