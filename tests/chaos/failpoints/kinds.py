"""What can happen at a failpoint."""

from __future__ import annotations

from enum import StrEnum

HELD_SECONDS = 0.05
"""A process that has come to its end hangs there for so long, so that a second customer dies at the same place."""


class Kind(StrEnum):
    CRASH_BEFORE = "crash before"
    """The effect never happens, and nothing in its process goes on."""
    CRASH_AFTER = "crash after"
    """The effect has happened, and nobody has heard of it."""
    CANCELLED = "cancelled"
    """The task is cancelled while it waits for the effect."""
    LATE = "too late"
    """The effect has happened, and its answer comes after its deadline."""
