"""Time as an argument, so that rules and tests decide what "now" is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Tells the time: aware, in UTC."""


def system_clock() -> datetime:
    return datetime.now(UTC)
