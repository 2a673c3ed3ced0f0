"""What one Bazaar consists of on this machine: its servers, its workers, and how they find each other."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tools import ROOT, ExpectedFailure, secrets
from tools.bus import PULSAR_PORTS, Bus, events_in_postgres, pulsar_of
from tools.credentials import BUS, MONGO_DATABASES, REDIS_KEYS, postgres_of, role_of
from tools.home import Home, write_private
from tools.servers import Program, Server, free_port, is_free
from tools.servers.envoy import Envoy
from tools.servers.mongo import Mongo
from tools.servers.redis import BUS as REDIS_BUS
from tools.servers.redis import Redis
from tools.servers.sandbox import Sandbox
from tools.servers.worker import Worker

if TYPE_CHECKING:
    from tools.mesh import Mesh
    from tools.servers.pulsar import Pulsar

WORKERS = 2
CERTIFICATE_FILES = ("BAZAAR_EDGE_CERTIFICATE", "BAZAAR_EDGE_CERTIFICATE_KEY")
EDGE_PORT = 8080
WORKER_ROLE = "worker"
"""What the workers are to Pulsar."""


class Stack:
    """The servers of one home.

    Args:
        bus: what the workers have their events on.
        mesh: identities and credentials, for a process a service; without one every worker has all services.
    """

    def __init__(self, home: Home, bus: Bus, mesh: Mesh | None = None) -> None:
        self.home = home
        self._bus = bus
        self.mesh = mesh
        self.created, self.migrated = home.sockets / "created", home.sockets / "migrated"
        """Files that open gates: the databases exist; the databases are up to date and every server is ready."""
        ports = _ports(home.ports)
        vault = home.folder("secrets")
        self.postgres = postgres_of(home)
        redis_users = mesh.redis_users() if mesh else ()
        self.redis = Redis(home.folder("redis"), secrets.read(vault, "redis_password"), ports["redis"], redis_users)
        members = {"users": mesh.mongo_users(), "vault": vault} if mesh else {}
        password, key = secrets.read(vault, "mongo_password"), secrets.read(vault, "mongo_keyfile")
        self.mongo = Mongo(home.folder("mongo"), password, key, ports["mongo"], **members)
        self.pulsar = pulsar_of(home, pulsar_ports(home.ports)) if bus is Bus.PULSAR else None
        check_certificate()
        self.edge = Envoy(home.folder("envoy") / "envoy.yaml", edge_port(), tls_port(home.ports))
        self.sandbox = Sandbox(home.folder("sandbox"), vault, f"{self.edge.url}/v1/payments/webhook/sandbox", ports["sandbox"])
        self.workers = self._new_workers()

    @property
    def servers(self) -> list[Server]:
        """What the workers stand on, PostgreSQL first."""
        return [self.postgres, self.redis, self.mongo, self.sandbox, *([self.pulsar] if self.pulsar else [])]

    def add_pulsar(self) -> Pulsar:
        """A broker beside the bus that the workers use."""
        self.pulsar = pulsar_of(self.home, pulsar_ports(self.home.ports))
        return self.pulsar

    def use(self, bus: Bus) -> None:
        """Has new workers with their events there take the places of the old."""
        self._bus = bus
        self.workers = self._new_workers()

    def _new_workers(self) -> list[Worker]:
        if self.mesh:
            return [self._service(name, self.mesh) for name in self.mesh.places.services]
        names, environment = [f"worker-{number}" for number in range(1, WORKERS + 1)], self.environment()
        return [Worker(name, self.home.sockets / f"{name}.sock", self.migrated, environment) for name in names]

    def _service(self, name: str, mesh: Mesh) -> Worker:
        """A process of one service, with the addresses that are its own."""
        role, own = role_of(name), mesh.credentials.passfile(name)
        events = self.postgres.url("bazaar_events", role, own).replace("postgresql:", "postgres:", 1)
        shared = {
            **self._common(),
            "BAZAAR_DATABASE_URL": self.postgres.url(role, role, own),
            "BAZAAR_EVENTS_URL": self.pulsar.url(name) if self.pulsar and self._bus is Bus.PULSAR else events,
            **({"BAZAAR_REDIS_URL": self.redis.url_of(name, mesh.credentials.of(name))} if name in REDIS_KEYS else {}),
            **({"BAZAAR_MONGO_URL": self.mongo.url_of(name, mesh.credentials.of(name))} if name in MONGO_DATABASES else {}),
        }
        return Worker(name, mesh.places.app(name), self.migrated, mesh.environment(name, shared), [name])

    def environment(self) -> dict[str, str]:
        """The settings of every process that runs services."""
        return {
            "BAZAAR_DATABASE_URL": self.postgres.url("bazaar_{service}", "bazaar_{service}"),
            "BAZAAR_EVENTS_URL": self._events_url(),
            "BAZAAR_REDIS_URL": self.redis.url,
            "BAZAAR_MONGO_URL": self.mongo.url,
            "BAZAAR_SECRETS": str(self.home.folder("secrets")),
            **self._common(),
        }

    def _common(self) -> dict[str, str]:
        return {
            "BAZAAR_GATEWAYS": f"sandbox={self.sandbox.url}",
            "BAZAAR_SEARCH_URL": f"file://{self.home.folder('search')}",
            "BAZAAR_TRACE_DIR": str(self.home.folder("traces")),
            # Logs are files here: no block of lines may wait in a buffer while the process dies.
            "PYTHONUNBUFFERED": "1",
        }

    def configuration(self) -> Program:
        """The program that writes Envoy's configuration: a process of its own, because it loads every generated proto."""
        if self.mesh:
            return self.mesh.configuration(self.edge.port, self.edge.tls_port)
        sockets = [str(worker.socket) for worker in self.workers]
        return Program([sys.executable, "-m", "gateway", str(self.home.path), str(self.edge.port), str(self.edge.tls_port), *sockets])

    def create_databases(self) -> None:
        """Makes databases and roles that are missing, in PostgreSQL, which is ready."""
        self.postgres.create_databases(databases())
        if self.mesh:
            self.postgres.admit([name for name in databases() if name != BUS], BUS)

    def migration_environment(self) -> dict[str, str]:
        """The settings of the process that prepares what the services stand on, and a broker if there is one; it may do everything."""
        return {**self.environment(), **({"BAZAAR_EVENTS_URL": self.pulsar.admin_url()} if self.pulsar else {})}

    def _events_url(self) -> str:
        return self.pulsar.url(WORKER_ROLE) if self.pulsar and self._bus is Bus.PULSAR else events_in_postgres(self.postgres)


def databases() -> list[str]:
    """Every service with migrations has a database of its own, and so has the event bus."""
    owners = sorted(folder.parent.name for folder in (ROOT / "services").glob("*/migrations"))
    return ["bazaar_events", *(f"bazaar_{owner}" for owner in owners if owner != "kit")]


def edge_port() -> int:
    """The edge's port, from BAZAAR_EDGE_PORT.

    Raises:
        ExpectedFailure: that is no port.
    """
    return _port_in("BAZAAR_EDGE_PORT") or EDGE_PORT


def tls_port(file: Path) -> int:
    """The edge's port for TLS, from BAZAAR_EDGE_TLS_PORT; else one that the home keeps.

    Raises:
        ExpectedFailure: that is no port.
    """
    if chosen := _port_in("BAZAAR_EDGE_TLS_PORT"):
        return _remembered(file, {"edge_tls": chosen})["edge_tls"]
    return _remembered(file, {"edge_tls": _keep(_known_ports(file).get("edge_tls")) or free_port()})["edge_tls"]


def check_certificate() -> None:
    """Makes sure of the files that the edge's certificate is to come from, if any are named.

    Raises:
        ExpectedFailure: one of the two isn't named, or isn't there.
    """
    named = {variable: os.environ.get(variable, "") for variable in CERTIFICATE_FILES}
    for variable, file in named.items():
        if any(named.values()) and not Path(file).is_file():
            raise ExpectedFailure(f"{variable} names no file{': ' + file if file else ''}; a certificate and its key go together")


def _port_in(variable: str) -> int | None:
    text = os.environ.get(variable)
    if text and (not text.isdigit() or not 0 < int(text) < 65_536):
        raise ExpectedFailure(f"{variable} is no port number: {text}")
    return int(text) if text else None


def _ports(file: Path) -> dict[str, int]:
    """The home's own ports: those of the last time while they are free, so that MongoDB's member and payment links keep their addresses."""
    known = _known_ports(file)
    ports = {"redis": _keep(known.get("redis"), also=REDIS_BUS) or free_port(also=REDIS_BUS)}
    ports |= {name: _keep(known.get(name)) or free_port() for name in ("mongo", "sandbox")}
    return _remembered(file, ports)


def pulsar_ports(file: Path) -> dict[str, int]:
    """Those of the home's broker."""
    known = _known_ports(file)
    return _remembered(file, {name: _keep(known.get(name)) or free_port() for name in PULSAR_PORTS})


def _known_ports(file: Path) -> dict[str, int]:
    return json.loads(file.read_text()) if file.exists() else {}


def _remembered(file: Path, ports: dict[str, int]) -> dict[str, int]:
    known = _known_ports(file)
    if known | ports != known:
        write_private(file, json.dumps(known | ports))
    return ports


def _keep(port: int | None, also: int = 0) -> int | None:
    return port if port and is_free(port) and is_free(port + also) else None
