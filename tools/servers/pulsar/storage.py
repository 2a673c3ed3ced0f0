"""Mends what a broker that was killed leaves in its storage."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from tools.servers import StartFailed

CLOSED = "Shutdown complete"
"""RocksDB's last word in its log, when it was closed in order."""
SECONDS = 30

Java = Callable[..., Sequence[str]]
"""The command line of a class with arguments."""


def was_cut_off(metadata: Path) -> bool:
    """Whether the last broker that had this metadata was killed."""
    log = metadata / "LOG"
    if not log.exists():
        return False
    *_, last = log.read_text(errors="replace").splitlines() or [""]
    return not last.endswith(CLOSED)


def forget_locks(java: Java, metadata: Path) -> None:
    """Removes the lock that a killed storage still holds on its own address (3 s).

    A new one would drop it too, but only while it takes the lock itself. When word of the drop comes late, it takes that for the loss of
    its own lock, takes it again, hears of that, and so on, a thousand times a second for as long as it lives. Listing the storages drops
    the old lock before.

    Raises:
        StartFailed: the metadata can't be read.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as settings:
        settings.write(f"metadataServiceUri=metadata-store:rocksdb://{metadata}\n")
        settings.flush()
        command = java("org.apache.bookkeeper.bookie.BookieShell", "-conf", settings.name, "listbookies", "-rw")
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
    if was_cut_off(metadata):
        raise StartFailed(
            "Pulsar's metadata can't be read: " + ((done.stdout + done.stderr).strip().splitlines() or ["it said nothing"])[-1]
        )
