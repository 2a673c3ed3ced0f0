"""What one Bazaar consists of on this machine: its servers, its workers, and how they find each other."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools import ROOT, ExpectedFailure, ports, secrets
from tools.bus import PULSAR_PORTS, Bus, events_in_postgres, pulsar_of
from tools.credentials import BUS, MONGO_DATABASES, REDIS_KEYS, postgres_of, postgres_pair_of, role_of
from tools.home import Home
from tools.servers import Program, Server
from tools.servers.envoy import Envoy
from tools.servers.mongo import Mongo
from tools.servers.mongo import Place as MongoPlace
from tools.servers.opensearch import OpenSearch
from tools.servers.opensearch import Ports as OpenSearchPorts
from tools.servers.redis import BUS as REDIS_BUS
from tools.servers.redis import Redis
from tools.servers.redis_cluster import Place as RedisPlace
from tools.servers.sandbox import Sandbox
from tools.servers.worker import Worker

if TYPE_CHECKING:
    from tools.mesh import Mesh
    from tools.servers.pulsar import Pulsar

WORKERS = 2
REDIS_NODES, MONGO_MEMBERS = 6, 3
"""Of a full home, which has two PostgreSQL servers besides; the others have one of each."""
CERTIFICATE_FILES = ("BAZAAR_EDGE_CERTIFICATE", "BAZAAR_EDGE_CERTIFICATE_KEY")
WORKER_ROLE = "worker"
"""What the workers are to Pulsar."""


class Stack:
    """The servers of one home.

    Args:
        bus: what the workers have their events on.
        mesh: identities and credentials, for a process a service; without one every worker has all services.
        is_full: whether there are several of what can take each other's places, and OpenSearch.
    """

    def __init__(self, home: Home, bus: Bus, mesh: Mesh | None = None, *, is_full: bool = False) -> None:
        self.home = home
        self._bus = bus
        self.mesh = mesh
        self.created, self.migrated = home.sockets / "created", home.sockets / "migrated"
        """Files that open gates: the databases exist; the databases are up to date and every server is ready."""
        vault = home.folder("secrets")
        self.postgres = postgres_of(home)
        """Where the primary is found, if there are two."""
        self.pair = postgres_pair_of(home) if is_full else None
        self.redis = self._redis_nodes(vault, REDIS_NODES if is_full else 1)
        self.mongo = self._mongo_members(vault, MONGO_MEMBERS if is_full else 1)
        opensearch = OpenSearchPorts(*ports.kept(home.ports, ("opensearch", "opensearch_transport"))) if is_full else None
        self.opensearch = OpenSearch(home.folder("opensearch"), opensearch) if is_full else None
        self.pulsar = pulsar_of(home, pulsar_ports(home.ports)) if bus is Bus.PULSAR else None
        check_certificate()
        self.edge = Envoy(home.folder("envoy") / "envoy.yaml", ports.edge_port(), ports.tls_port(home.ports))
        [sandbox] = ports.kept(home.ports, ["sandbox"])
        self.sandbox = Sandbox(home.folder("sandbox"), vault, f"{self.edge.url}/v1/payments/webhook/sandbox", sandbox)
        self.workers = self._new_workers()

    @property
    def servers(self) -> list[Server]:
        """What the workers stand on, PostgreSQL's primary first."""
        others = [server for server in (self.pulsar, self.opensearch) if server]
        databases = [self.pair.primary, self.pair.standby] if self.pair else [self.postgres]
        return [*databases, *self.redis, *self.mongo, self.sandbox, *others]

    def works(self, changed: Callable[[], None]) -> list[Coroutine[Any, Any, None]]:
        """What is to be done for as long as it runs.

        Args:
            changed: called when a server has another role.
        """
        return [*([self.mesh.keep()] if self.mesh else []), *([self.pair.watch(changed)] if self.pair else [])]

    def _redis_nodes(self, vault: Path, count: int) -> list[Redis]:
        password, users = secrets.read(vault, "redis_password"), self.mesh.redis_users() if self.mesh else ()
        listening = ports.kept(self.home.ports, _numbered("redis", count), REDIS_BUS)
        folder = self.home.folder("redis")
        if count == 1:
            return [Redis(folder, password, listening[0], users)]
        return [Redis(folder / str(index + 1), password, users=users, place=RedisPlace(listening, index)) for index in range(count)]

    def _mongo_members(self, vault: Path, count: int) -> list[Mongo]:
        password, key = secrets.read(vault, "mongo_password"), secrets.read(vault, "mongo_keyfile")
        options = {"users": self.mesh.mongo_users(), "vault": vault} if self.mesh else {}
        listening = ports.kept(self.home.ports, _numbered("mongo", count))
        folder = self.home.folder("mongo")
        if count == 1:
            return [Mongo(folder, password, key, listening[0], **options)]
        return [Mongo(folder / str(index + 1), password, key, place=MongoPlace(listening, index), **options) for index in range(count)]

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
            **({"BAZAAR_REDIS_URL": self.redis[0].url_of(name, mesh.credentials.of(name))} if name in REDIS_KEYS else {}),
            **({"BAZAAR_MONGO_URL": self.mongo[0].url_of(name, mesh.credentials.of(name))} if name in MONGO_DATABASES else {}),
        }
        return Worker(name, mesh.places.app(name), self.migrated, mesh.environment(name, shared), [name])

    def environment(self) -> dict[str, str]:
        """The settings of every process that runs services."""
        return {
            "BAZAAR_DATABASE_URL": self.postgres.url("bazaar_{service}", "bazaar_{service}"),
            "BAZAAR_EVENTS_URL": self._events_url(),
            "BAZAAR_REDIS_URL": self.redis[0].url,
            "BAZAAR_MONGO_URL": self.mongo[0].url,
            "BAZAAR_SECRETS": str(self.home.folder("secrets")),
            **self._common(),
        }

    def _common(self) -> dict[str, str]:
        return {
            "BAZAAR_GATEWAYS": f"sandbox={self.sandbox.url}",
            "BAZAAR_SEARCH_URL": self.opensearch.url if self.opensearch else f"file://{self.home.folder('search')}",
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


def pulsar_ports(file: Path) -> dict[str, int]:
    """Those of the home's broker."""
    return dict(zip(PULSAR_PORTS, ports.kept(file, PULSAR_PORTS), strict=True))


def _numbered(name: str, count: int) -> list[str]:
    """`redis`, `redis_2`, and so on."""
    return [name, *(f"{name}_{number}" for number in range(2, count + 1))]


def databases() -> list[str]:
    """Every service with migrations has a database of its own, and so has the event bus."""
    owners = sorted(folder.parent.name for folder in (ROOT / "services").glob("*/migrations"))
    return ["bazaar_events", *(f"bazaar_{owner}" for owner in owners if owner != "kit")]


def check_certificate() -> None:
    """Makes sure of the files that the edge's certificate is to come from, if any are named.

    Raises:
        ExpectedFailure: one of the two isn't named, or isn't there.
    """
    named = {variable: os.environ.get(variable, "") for variable in CERTIFICATE_FILES}
    for variable, file in named.items():
        if any(named.values()) and not Path(file).is_file():
            raise ExpectedFailure(f"{variable} names no file{': ' + file if file else ''}; a certificate and its key go together")
