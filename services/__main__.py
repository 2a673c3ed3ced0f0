"""The composition root.

python -m services [NAME...]          runs the named services, or all, in this process
python -m services migrate [NAME...]  brings their databases, and the event bus's, up to date
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import sys
from collections.abc import Sequence

import psycopg
import uvloop

from services.kit.auth import PolicyInvalid
from services.kit.connections import Unconfigured
from services.kit.events.postgres_bus import MIGRATIONS as EVENTS_MIGRATIONS
from services.kit.migrations import KIT_MIGRATIONS, MigrationError, migrate
from services.kit.rpc.server import SocketTaken
from services.kit.runtime import Runtime, StartFailed
from services.kit.secrets import SecretUnusable
from services.kit.service import Service
from services.kit.settings import Settings
from services.kit.telemetry import start as telemetry
from services.kit.telemetry import tracing
from services.revocation import Revocations

NOUNS = ("users", "catalog", "inventory", "cart", "pricing", "checkout", "orders", "payments", "ranking", "search")

WORKER = "worker"
"""The role on the event bus of a process that runs several services; one that runs a single service has that one's name."""

_PLAIN_ERRORS = (
    StartFailed,
    SocketTaken,
    Unconfigured,
    PolicyInvalid,
    SecretUnusable,
    MigrationError,
    ValueError,
    psycopg.OperationalError,
)
"""Their messages say all that there is to know."""


def find_services(names: Sequence[str]) -> list[Service]:
    """The named services, or all; imports no others.

    Raises:
        StartFailed: there is no service of that name.
    """
    if unknown := [name for name in names if name not in NOUNS]:
        raise StartFailed(f"There is no service {', '.join(unknown)}; there are {', '.join(NOUNS)}.")
    return [importlib.import_module(f"services.{name}").SERVICE for name in names or NOUNS]


async def run(names: Sequence[str], settings: Settings) -> None:
    """Runs services until the process is told to stop."""
    try:
        telemetry.start(settings)
    except ValueError as error:
        raise StartFailed(f"{error}.") from None
    revocations = Revocations()
    runtime = Runtime(find_services(names), settings, is_revoked=revocations.is_revoked, process_work=[revocations.watch])
    _spare_the_collector()
    try:
        await runtime.run()
    finally:
        tracing.shutdown()


def _spare_the_collector() -> None:
    """Modules and descriptors live as long as the process: the garbage collector needn't look at them again, nor at every few calls."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


async def migrate_all(names: Sequence[str], settings: Settings) -> list[str]:
    """Applies the migrations that are missing, and returns their names."""
    applied: list[str] = []
    for service in find_services(names):
        if service.migrations:
            url = settings.database_url_of(service.name)
            applied += await migrate(url, [("kit", KIT_MIGRATIONS), (service.name, service.migrations)])
    return applied + await _prepare_events(names, settings)


async def _prepare_events(names: Sequence[str], settings: Settings) -> list[str]:
    if settings.events_url.startswith("postgres"):
        return await migrate(settings.events_url, [("events", EVENTS_MIGRATIONS)])
    if settings.events_url.startswith("pulsar"):
        # A library of 20 MB, which a shop on the other bus has no use for.
        from services.kit.events.pulsar.setup import Interest, prepare

        parts = Runtime(find_services(names), settings).parts
        interests = {name: Interest(each.topics, each.subscriptions) for name, each in parts.items()}
        together = Interest(
            [topic for each in interests.values() for topic in each.topics],
            [subscription for each in interests.values() for subscription in each.subscriptions],
        )
        await prepare(settings.events_url, {**interests, WORKER: together})
    return []


def main(arguments: Sequence[str]) -> int:
    """Does what the command line asks for; returns the exit code."""
    try:
        settings = Settings()
        if arguments[:1] == ["migrate"]:
            for name in asyncio.run(migrate_all(arguments[1:], settings)):
                print(f"applied {name}")
        else:
            uvloop.run(run(arguments, settings))
    except _PLAIN_ERRORS as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
