"""Which engine a home's event bus runs on. Chosen at the home's first start: what has not been delivered yet is on that one."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from tools import ExpectedFailure
from tools.home import Home, write_private


class Bus(StrEnum):
    """An engine of the event bus, as `--bus` names it."""

    POSTGRES = "postgres"
    PULSAR = "pulsar"


def bus_of(home: Home) -> Bus | None:
    """The engine that the home has used so far; None before its first start."""
    try:
        return Bus(_file(home).read_text().strip())
    except FileNotFoundError:
        # Homes used to have nothing to choose from.
        return Bus.POSTGRES if home.folder("postgres").joinpath("data").exists() else None


def choose(home: Home, wanted: Bus | None) -> Bus:
    """The engine to start with: the home's own, or for a new home the one that is wanted.

    Raises:
        ExpectedFailure: the home has another one, and events may wait on it.
    """
    own = bus_of(home) or wanted or Bus.POSTGRES
    if wanted in (None, own):
        return own
    if wanted is Bus.PULSAR:
        raise ExpectedFailure(f"the events of {home.path} are in PostgreSQL; ./bazaar migrate-events moves them to Pulsar")
    raise ExpectedFailure(f"the events of {home.path} are in Pulsar, and nothing moves them back; --home names another home")


def remember(home: Home, bus: Bus) -> None:
    """Notes the engine that the home uses from now on."""
    write_private(_file(home), f"{bus}\n")


def _file(home: Home) -> Path:
    return home.path / "bus"
