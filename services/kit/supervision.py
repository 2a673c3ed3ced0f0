"""Work that must go on: never silently lost, whatever it stumbles over."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

import structlog

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 30.0
_SETTLED_SECONDS = 60.0
"""After so long without a crash the pauses begin small again."""

_log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


async def keep_running(name: str, work: Callable[[], Awaitable[None]], *, first_pause: float = FIRST_PAUSE_SECONDS) -> None:
    """Runs work to its end; when it crashes instead, logs that and runs it again after a growing pause (at most 30 s)."""
    pause = first_pause
    while True:
        started_at = time.monotonic()
        try:
            await work()
            return
        except Exception:
            _log.exception("background work crashed", work=name)
        if time.monotonic() - started_at > _SETTLED_SECONDS:
            pause = first_pause
        await asyncio.sleep(random.uniform(pause / 2, pause))
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
