"""CPU that this process and its servers have used."""

from __future__ import annotations

import os
import time
from pathlib import Path

from redis import Redis

_TICKS = os.sysconf("SC_CLK_TCK")


class Cpu:
    """Of this process, a PostgreSQL and a Redis.

    Args:
        data: PostgreSQL's data directory.
    """

    def __init__(self, data: Path, redis_url: str) -> None:
        self._postmaster = int((data / "postmaster.pid").read_text().split("\n", 1)[0])
        self._redis = Redis.from_url(redis_url)

    def seconds(self) -> dict[str, float]:
        """So far, by process; PostgreSQL's backends and background processes together."""
        info = self._redis.info("cpu")
        return {
            "this process": time.process_time(),
            "postgres": self._of_postgres(),
            "redis": float(info["used_cpu_user"]) + float(info["used_cpu_sys"]),  # type: ignore[index]
        }

    def _of_postgres(self) -> float:
        own, children = _used(self._postmaster)
        tasks = Path(f"/proc/{self._postmaster}/task/{self._postmaster}/children").read_text().split()
        return own + children + sum(_used(int(pid))[0] for pid in tasks)


def used(pid: int) -> float:
    """Seconds, by a process that runs."""
    return _used(pid)[0]


def _used(pid: int) -> tuple[float, float]:
    """By a process, and by its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS, (int(fields[13]) + int(fields[14])) / _TICKS
