"""Starts a broker once before it counts, to keep what Java makes of the classes: every later start takes a third less.

https://docs.oracle.com/en/java/javase/17/vm/class-data-sharing.html
"""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path

from tools import secrets
from tools.servers import Running, StartFailed, maven
from tools.servers.pulsar.server import Pulsar

SECONDS = 180
"""For the start, and again for the end, when Java writes the archive: both take far longer than usual."""


def rehearse(archive: Path) -> None:
    """Makes the archive (90 MB) unless it is there. Without it brokers start all the same, so that a failure is no failure."""
    if archive.exists():
        return
    with maven.locked(archive), tempfile.TemporaryDirectory() as folder, suppress(StartFailed):
        if archive.exists():
            return
        vault = Path(folder) / "secrets"
        vault.mkdir()
        secrets.make_missing(vault)
        unfinished = archive.with_suffix(".new")
        with Running(Pulsar(Path(folder) / "pulsar", vault, recording=unfinished), Path(folder) / "log", timeout=SECONDS, patience=SECONDS):
            pass
        if unfinished.exists():
            unfinished.rename(archive)
