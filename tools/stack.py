"""What one Bazaar consists of on this machine: its servers, its workers, and how they find each other."""

from __future__ import annotations

import json
import os
from pathlib import Path

from tools import ROOT, ExpectedFailure, secrets
from tools.bus import PULSAR_PORTS, Bus, events_in_postgres, pulsar_of
from tools.home import Home, write_private
from tools.servers import Server, free_port, is_free
from tools.servers.envoy import Envoy
from tools.servers.mongo import Mongo
from tools.servers.postgres import Postgres
from tools.servers.redis import BUS, Redis
from tools.servers.sandbox import Sandbox
from tools.servers.worker import Worker

WORKERS = 2
EDGE_PORT = 8080
WORKER_ROLE = "worker"
"""What the workers are to Pulsar."""


class Stack:
    """The servers of one home."""

    def __init__(self, home: Home, bus: Bus) -> None:
        self.home = home
        self.created, self.migrated = home.sockets / "created", home.sockets / "migrated"
        """Files that open gates: the databases exist; the databases are up to date and every server is ready."""
        ports = _ports(home.ports, bus)
        vault = home.folder("secrets")
        self.postgres = Postgres(home.folder("postgres"), home.sockets)
        self.redis = Redis(home.folder("redis"), secrets.read(vault, "redis_password"), ports["redis"])
        key = secrets.read(vault, "mongo_keyfile")
        self.mongo = Mongo(home.folder("mongo"), secrets.read(vault, "mongo_password"), key, ports["mongo"])
        self.pulsar = pulsar_of(home, ports) if bus is Bus.PULSAR else None
        self.edge = Envoy(home.folder("envoy") / "envoy.yaml", edge_port())
        self.sandbox = Sandbox(home.folder("sandbox"), vault, f"{self.edge.url}/v1/payments/webhook/sandbox", ports["sandbox"])
        self.workers = [Worker(f"worker-{number}", home.sockets, self.migrated, self.environment()) for number in range(1, WORKERS + 1)]

    @property
    def servers(self) -> list[Server]:
        """What the workers stand on, PostgreSQL first."""
        return [self.postgres, self.redis, self.mongo, self.sandbox, *([self.pulsar] if self.pulsar else [])]

    def environment(self) -> dict[str, str]:
        """The settings of every process that runs services."""
        return {
            "BAZAAR_DATABASE_URL": self.postgres.url("bazaar_{service}", "bazaar_{service}"),
            "BAZAAR_EVENTS_URL": self.pulsar.url(WORKER_ROLE) if self.pulsar else events_in_postgres(self.postgres),
            "BAZAAR_REDIS_URL": self.redis.url,
            "BAZAAR_MONGO_URL": self.mongo.url,
            "BAZAAR_GATEWAYS": f"sandbox={self.sandbox.url}",
            "BAZAAR_SECRETS": str(self.home.folder("secrets")),
            "BAZAAR_TRACE_DIR": str(self.home.folder("traces")),
            # Logs are files here: no block of lines may wait in a buffer while the process dies.
            "PYTHONUNBUFFERED": "1",
        }

    def migration_environment(self) -> dict[str, str]:
        """The settings of the process that prepares what the services stand on; it may do everything."""
        return {**self.environment(), **({"BAZAAR_EVENTS_URL": self.pulsar.admin_url()} if self.pulsar else {})}


def databases() -> list[str]:
    """Every service with migrations has a database of its own, and so has the event bus."""
    owners = sorted(folder.parent.name for folder in (ROOT / "services").glob("*/migrations"))
    return ["bazaar_events", *(f"bazaar_{owner}" for owner in owners if owner != "kit")]


def edge_port() -> int:
    """The edge's port, from BAZAAR_EDGE_PORT.

    Raises:
        ExpectedFailure: that is no port.
    """
    text = os.environ.get("BAZAAR_EDGE_PORT") or str(EDGE_PORT)
    if not text.isdigit() or not 0 < int(text) < 65_536:
        raise ExpectedFailure(f"BAZAAR_EDGE_PORT is no port number: {text}")
    return int(text)


def _ports(file: Path, bus: Bus) -> dict[str, int]:
    """The home's own ports: those of the last time while they are free, so that MongoDB's member and payment links keep their addresses."""
    known: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}
    names = ["mongo", "sandbox", *(PULSAR_PORTS if bus is Bus.PULSAR else ())]
    ports = {"redis": _keep(known.get("redis"), also=BUS) or free_port(also=BUS)}
    ports |= {name: _keep(known.get(name)) or free_port() for name in names}
    if ports != known:
        write_private(file, json.dumps(ports))
    return ports


def _keep(port: int | None, also: int = 0) -> int | None:
    return port if port and is_free(port) and is_free(port + also) else None
