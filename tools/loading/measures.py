"""Latencies, failures, CPU seconds."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Measures:
    """What a load run saw."""

    seconds: list[float] = field(default_factory=list)
    """Latencies of what succeeded."""
    failures: Counter[str] = field(default_factory=Counter)
    """By reason."""
    lasted: float = 0
    """From the first start to the last answer, in seconds."""

    def as_json(self) -> dict[str, object]:
        """The figures, by the names that `./bazaar load --json` gives them."""
        return {
            "successes": len(self.seconds),
            "rate_per_second": round(len(self.seconds) / self.lasted, 1) if self.lasted else 0.0,
            "latency_ms": percentiles(self.seconds),
            "failures": self.failures.total(),
            "failures_by_reason": dict(self.failures),
        }


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """p50, p95, p99 and max in milliseconds; the nearest rank, so that each is a latency that occurred. Empty without any."""
    ordered = sorted(seconds)
    if not ordered:
        return {}
    points = {f"p{percent}": ordered[math.ceil(len(ordered) * percent / 100) - 1] for percent in (50, 95, 99)}
    return {name: round(value * 1000, 2) for name, value in {**points, "max": ordered[-1]}.items()}


class CpuMeter:
    """CPU seconds of processes, each with all that it started, dead children included, unless that has a name of its own."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = pids
        self._before = self._read()

    def used(self) -> dict[str, float]:
        """Since the meter was made, by name. A process that was replaced meanwhile is left out."""
        now = self._read()
        return {name: round(now[name] - before, 2) for name, before in self._before.items() if now.get(name, -1) >= before}

    def _read(self) -> dict[str, float]:
        processes = _processes()
        named = set(self._pids.values())
        children: dict[int, list[int]] = {}
        for pid, (parent, _) in processes.items():
            if pid not in named:
                children.setdefault(parent, []).append(pid)
        return {name: _tree_seconds(pid, processes, children) for name, pid in self._pids.items() if pid in processes}


class ThreadMeter:
    """CPU seconds of a process's threads."""

    def __init__(self, pid: int) -> None:
        self._folder = Path(f"/proc/{pid}/task")
        self._before = self._read()

    def used(self) -> dict[int, float]:
        """Since the meter was made, by the kernel's id; without threads that have ended."""
        return {thread: seconds - self._before.get(thread, 0.0) for thread, seconds in self._read().items()}

    def _read(self) -> dict[int, float]:
        return {thread: sum(map(int, fields[11:13])) / _TICKS for thread, fields in _stats(self._folder)}


def _tree_seconds(root: int, processes: Mapping[int, tuple[int, float]], children: Mapping[int, Sequence[int]]) -> float:
    waiting, total = [root], 0.0
    while waiting:
        pid = waiting.pop()
        total += processes[pid][1]
        waiting += children.get(pid, ())
    return total


def _processes() -> dict[int, tuple[int, float]]:
    """Parent and CPU seconds by pid: own, and those of children that have ended."""
    return {pid: (int(fields[1]), sum(map(int, fields[11:15])) / _TICKS) for pid, fields in _stats(Path("/proc"))}


def _stats(folder: Path) -> Iterator[tuple[int, list[str]]]:
    """Ids of processes or threads, with the fields that the kernel keeps of each, from the state on, the third: see proc(5)."""
    for entry in folder.iterdir() if folder.exists() else ():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text()
        except OSError:
            continue
        # The name, in parentheses, may hold blanks.
        yield int(entry.name), stat.rpartition(")")[2].split()
