"""Latencies, failures, CPU seconds."""

from __future__ import annotations

import os
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from time import monotonic as clock

_TICKS = os.sysconf("SC_CLK_TCK")
_THOUSANDTHS = {"p50": 500, "p90": 900, "p95": 950, "p99": 990, "p99.9": 999, "max": 1000}


class Measures:
    """What a load run saw.

    Every latency is kept, as eight bytes: percentiles are exact then, and ten minutes of 3,000 calls a second take 14 MB.
    """

    def __init__(self) -> None:
        self.failures: Counter[str] = Counter()
        """By reason."""
        self.lasted = 0.0
        """From the first start to the last answer, in seconds."""
        self._kinds: defaultdict[str, array[float]] = defaultdict(_latencies)
        self._steps: defaultdict[str, array[float]] = defaultdict(_latencies)

    def add(self, seconds: float, kind: str = "") -> None:
        """Notes the latency of a call that succeeded.

        Args:
            kind: of call; empty where there is only one.
        """
        self._kinds[kind].append(seconds)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Times one step of a call that has several, if it succeeds."""
        began = clock()
        yield
        self._steps[name].append(clock() - began)

    @property
    def seconds(self) -> array[float]:
        """Latencies of all that succeeded."""
        return array("d", chain.from_iterable(self._kinds.values()))

    @property
    def successes(self) -> int:
        return sum(map(len, self._kinds.values()))

    def as_json(self) -> dict[str, object]:
        """The figures, by the names that `./bazaar load --json` gives them."""
        kinds = {kind: self._kinds[kind] for kind in sorted(self._kinds) if kind}
        return {
            "successes": self.successes,
            "rate_per_second": round(self.successes / self.lasted, 1) if self.lasted else 0.0,
            "latency_ms": percentiles(self.seconds),
            **({"kinds_ms": _each(kinds)} if kinds else {}),
            **({"steps_ms": _each(self._steps)} if self._steps else {}),
            "failures": self.failures.total(),
            "failures_by_reason": dict(self.failures),
        }


def percentiles(seconds: Iterable[float]) -> dict[str, float]:
    """p50 to p99.9 and max in milliseconds; the nearest rank, so that each is a latency that occurred. Empty without any."""
    ordered = sorted(seconds)
    if not ordered:
        return {}
    # Whole numbers: in floats, 99.9 % of 41,000 comes to more than 40,959, and the rank would be one too high.
    return {name: round(ordered[-(-len(ordered) * part // 1000) - 1] * 1000, 2) for name, part in _THOUSANDTHS.items()}


def per_operation(cpu_seconds: Mapping[str, float], operations: int) -> dict[str, float]:
    """CPU milliseconds that an operation cost, by process. Empty without any."""
    return {name: round(used * 1000 / operations, 3) for name, used in cpu_seconds.items()} if operations else {}


def _each(latencies: Mapping[str, Sequence[float]]) -> dict[str, dict[str, float]]:
    return {name: {**percentiles(latencies[name]), "samples": len(latencies[name])} for name in latencies}


def _latencies() -> array[float]:
    return array("d")


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
