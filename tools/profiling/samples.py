"""Samples as py-spy writes them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tools import ROOT

_FOLDER = re.compile(rf"(?<= \()(.*/site-packages/|.*/lib/python3\.\d+/|{re.escape(str(ROOT))}/)")
_THREAD = re.compile(r"thread \((\d+)\)(?:: )?")


@dataclass(frozen=True, slots=True)
class Sample:
    """What one thread was seen at."""

    thread: int
    """The kernel's id."""
    stack: tuple[str, ...]
    """The thread's name, then frames as `function (path)`, outermost first."""
    count: int
    """How often."""


def read_samples(raw: str) -> list[Sample]:
    """Reads the lines of `py-spy record --format raw --threads --nolineno --full-filenames`, and shortens the paths."""
    return [_sample(line) for line in raw.splitlines()]


def _sample(line: str) -> Sample:
    stack, _, count = line.rpartition(" ")
    thread, *frames = stack.split(";")
    match = _THREAD.match(thread)
    assert match is not None, line
    return Sample(int(match[1]), (thread[match.end() :], *(_FOLDER.sub("", frame) for frame in frames)), int(count))
