"""Work that a service's leader does again and again: sweeping what is due, deleting what is old.

A deadline that belongs to a row is the row's `due_at` column; a timer looks for the rows that are due. To cancel one, update its row.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog

from services.kit import idempotency, inbox
from services.kit.clock import Clock, system_clock
from services.kit.database import Database
from services.kit.leader import Lease, LeaseLost

_RETRY_WITHIN = timedelta(minutes=1)

_log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True)
class Timer:
    """One recurring piece of work."""

    name: str
    every: timedelta
    """From the end of one run to the start of the next; the first run is when a leader is elected."""

    work: Callable[[Lease], Awaitable[None]]
    """Must do no harm when it is done twice. Not traced: what it finds to do begins a trace of its own."""


async def run_timers(timers: Sequence[Timer], lease: Lease) -> None:
    """Runs all of them until cancelled. One that fails is logged and tried again, within a minute if it is rare."""
    async with asyncio.TaskGroup() as group:
        for timer in timers:
            group.create_task(_repeat(timer, lease), name=timer.name)


def housekeeping(database: Database, clock: Clock = system_clock) -> list[Timer]:
    """The timers that every service's database needs."""

    async def keep_inbox(lease: Lease) -> None:
        await inbox.keep_days(database, clock())

    async def forget_answers(lease: Lease) -> None:
        await idempotency.forget_old(database)

    return [Timer("inbox-days", timedelta(hours=1), keep_inbox), Timer("idempotency-keys", timedelta(minutes=10), forget_answers)]


async def _repeat(timer: Timer, lease: Lease) -> None:
    while True:
        lease.check()
        pause = timer.every
        try:
            await timer.work(lease)
        except LeaseLost:
            raise
        except Exception:
            _log.exception("timer failed", timer=timer.name)
            pause = min(pause, _RETRY_WITHIN)
        await asyncio.sleep(pause.total_seconds())
