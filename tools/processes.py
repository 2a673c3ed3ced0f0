"""Who a pid is: a number counts only together with the time its process started, and the boot it belongs to."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


def boot_id() -> str:
    """Names this boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def start_time(pid: int) -> int | None:
    """When the process started, in clock ticks since the boot; None when there is none, or only its remains."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The name, in parentheses, may hold blanks and parentheses of its own.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else int(fields[19])


def cpu_ticks(pid: int) -> int:
    """How long the process has worked so far, all its threads together, in clock ticks; 0 when there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    return sum(map(int, stat.rpartition(")")[2].split()[11:13]))


@dataclass(frozen=True)
class Identity:
    """A process that cannot be mistaken for a later one with the same number."""

    pid: int
    started: int
    boot: str

    @classmethod
    def of(cls, pid: int) -> Identity:
        """Identifies a live process.

        Raises:
            ProcessLookupError: there is none.
        """
        started = start_time(pid)
        if started is None:
            raise ProcessLookupError(pid)
        return cls(pid, started, boot_id())

    def is_alive(self) -> bool:
        """Whether this very process still runs."""
        return start_time(self.pid) == self.started and self.boot == boot_id()

    def send(self, number: signal.Signals) -> None:
        """Signals the process if it still runs."""
        if self.is_alive():
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return


def started_as(beginnings: tuple[bytes, ...]) -> list[Identity]:
    """The processes whose command lines, or the titles that they have given themselves, begin with one of these."""
    found: list[Identity] = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if file.read_bytes().startswith(beginnings):
                found.append(Identity.of(int(file.parent.name)))
    return found


def wait_gone(identities: Iterable[Identity], seconds: float) -> list[Identity]:
    """Waits until the processes have ended; returns those that have not."""
    left = [identity for identity in identities if identity.is_alive()]
    give_up = time.monotonic() + seconds
    while left and time.monotonic() < give_up:
        time.sleep(0.02)
        left = [identity for identity in left if identity.is_alive()]
    return left


def end(identities: Iterable[Identity], seconds: float) -> None:
    """Ends the processes: SIGTERM, and after `seconds` SIGKILL."""
    identities = list(identities)
    for identity in identities:
        identity.send(signal.SIGTERM)
    stubborn = wait_gone(identities, seconds)
    for identity in stubborn:
        identity.send(signal.SIGKILL)
    wait_gone(stubborn, 5)
