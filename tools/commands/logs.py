"""./bazaar logs"""

from __future__ import annotations

import sys
import time
from collections import deque
from pathlib import Path
from typing import Annotated

import typer

from tools import ExpectedFailure
from tools.commands import HomeOption, home_of

LINES = 50
"""How much of each log is shown at first."""
POLL = 0.2


def logs(
    context: typer.Context,
    service: Annotated[str | None, typer.Argument(help="A process, as `status` names it; all when left out.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as lines arrive.")] = False,
    home: HomeOption = None,
) -> None:
    """Shows what the processes said last."""
    folder = home_of(context, home).folder("logs")
    files = sorted(folder.glob("*.log"))
    if service:
        files = [file for file in files if file.stem == service]
    if not files:
        known = ", ".join(sorted(file.stem for file in folder.glob("*.log")))
        raise ExpectedFailure(
            f"there is no log of {service}; there are: {known}" if service and known else f"nothing has been logged in {folder}"
        )
    tails = [Tail(file, prefix="" if service else f"{file.stem} | ") for file in files]
    for tail in tails:
        tail.show_last(LINES)
    while follow:
        sys.stdout.flush()
        time.sleep(POLL)
        for tail in tails:
            tail.show_new()


class Tail:
    """A log file that is read as it grows, and starts over when it is rotated."""

    def __init__(self, path: Path, prefix: str) -> None:
        self._file = path.open(errors="replace")
        self._path = path
        self._prefix = prefix

    def show_last(self, count: int) -> None:
        for line in deque(self._file, maxlen=count):
            self._show(line)

    def show_new(self) -> None:
        if self._path.stat().st_size < self._file.tell():
            self._file.seek(0)
        while line := self._file.readline():
            self._show(line)

    def _show(self, line: str) -> None:
        sys.stdout.write(self._prefix + line.rstrip("\n") + "\n")
