"""What a person sees: progress bars on standard error, results on standard output."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

PLAIN_WIDTH = 110
EVERY = 0.1


@contextmanager
def bar(title: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Shows how far something is; without a total, only how much is done. Yields what is to be told the number done so far."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task, shown, latest = progress.add_task(title, total=total), 0.0, 0

        def told(done: int) -> None:
            nonlocal shown, latest
            latest = done
            # Told thousands of times a second, it shows what an eye can follow.
            if monotonic() - shown > EVERY:
                shown = monotonic()
                progress.update(task, completed=done)

        try:
            yield told
        finally:
            progress.update(task, completed=latest)


def results() -> Console:
    """Standard output, wide enough for tables where it is a file."""
    return Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)
