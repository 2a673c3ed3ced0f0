"""Has a changed policy hold while the process runs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import structlog

from services.kit.auth import Policy, PolicyInvalid

LOOK_SECONDS = 0.5

_log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


async def follow(policy: Policy, file: Path) -> None:
    """Gives the policy what its file says, whenever that changes, until cancelled. What can't be read changes nothing."""
    known = _version(file)
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        if (found := _version(file)) == known:
            continue
        known = found
        try:
            policy.become(Policy.load(file))
            _log.info("the policy has changed")
        except PolicyInvalid as error:
            _log.error("the policy stays as it was", why=str(error))


def _version(file: Path) -> tuple[int, int]:
    try:
        stat = file.stat()
    except OSError:
        return (0, 0)
    return (stat.st_mtime_ns, stat.st_ino)
