"""Which engine a home's event bus runs on. What has not been delivered yet is on that one, so it changes only when that has been moved."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from tools import ExpectedFailure
from tools.credentials import postgres_of
from tools.home import Home, write_private
from tools.servers.postgres import Postgres

if TYPE_CHECKING:
    from tools.servers.pulsar import Pulsar

PULSAR_PORTS = ("pulsar", "pulsar_tls", "pulsar_admin", "pulsar_bookie")
"""What the home's ports call those of Pulsar, in the order of `Ports`."""


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
    if planned(home) is bus:
        plan(home, None)


def plan(home: Home, bus: Bus | None) -> None:
    """Notes the engine that is to take the place of the home's own, or that none is."""
    if bus:
        write_private(_next_file(home), f"{bus}\n")
    else:
        _next_file(home).unlink(missing_ok=True)


def planned(home: Home) -> Bus | None:
    """The engine that is to take the place of the home's own."""
    try:
        return Bus(_next_file(home).read_text().strip())
    except FileNotFoundError:
        return None


def events_url(home: Home) -> str:
    """Where a home that has run keeps its events, for who may do everything."""
    if bus_of(home) is Bus.PULSAR:
        return pulsar_of(home, json.loads(home.ports.read_text())).admin_url()
    return events_in_postgres(postgres_of(home))


def events_in_postgres(postgres: Postgres) -> str:
    return postgres.url("bazaar_events", "bazaar_events").replace("postgresql:", "postgres:", 1)


def pulsar_of(home: Home, ports: Mapping[str, int]) -> Pulsar:
    # Commands that have nothing to do with Pulsar needn't load what its certificates take.
    from tools.servers.pulsar import Ports, Pulsar

    return Pulsar(home.folder("pulsar"), home.folder("secrets"), Ports(*(ports[name] for name in PULSAR_PORTS)))


def _next_file(home: Home) -> Path:
    return home.path / "bus.next"


def _file(home: Home) -> Path:
    return home.path / "bus"
