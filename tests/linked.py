"""A shop whose every connection to a server goes over a link that a test may maltreat, and with no supervisor to replace what is frozen.

What a full home has, but one node of each server: there is nobody to take its place.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.invariants import Servers, violations
from tests.links import Link, Links
from tools import secrets
from tools.credentials import postgres_of
from tools.early import command
from tools.home import Home
from tools.servers import Program, Running, Server, free_port
from tools.servers.envoy import Envoy
from tools.servers.mongo import Mongo
from tools.servers.opensearch import OpenSearch
from tools.servers.pulsar import Pulsar
from tools.servers.redis import BUS as REDIS_BUS
from tools.servers.redis import Redis
from tools.servers.sandbox import Sandbox
from tools.servers.worker import Worker
from tools.stack import WORKER_ROLE, WORKERS, databases

START_SECONDS = 90.0
SPARED = ("redis-1", "pulsar", "opensearch", "sandbox")
"""The servers that orders do without."""
NEEDED = ("mongo", "postgres")


class Advertised(Pulsar):
    """A broker that gives another port than its own to whoever asks where a topic is."""

    advertised: int

    def prepare(self) -> None:
        super().prepare()
        with (self._directory / "standalone.conf").open("a") as settings:
            settings.write(f"advertisedListeners=link:pulsar://127.0.0.1:{self.advertised}\ninternalListenerName=link\n")


class Linked:
    """The servers, two workers and an edge; the links are called as what they lead to: `postgres`, `worker-1` and so on."""

    def __init__(self, path: Path) -> None:
        self.home = Home(path)
        self.home.prepare()
        self._vault = self.home.folder("secrets")
        secrets.make_missing(self._vault)
        self._gate = self.home.sockets / "gate"
        self.port = free_port()
        self._edge = Envoy(self.home.folder("envoy") / "envoy.yaml", self.port, free_port())
        self._make_servers()
        names = [f"worker-{number + 1}" for number in range(WORKERS)]
        self.workers = [Worker(name, self.home.sockets / name, self._gate, self._environment()) for name in names]
        doors = [Link(each.name, self.home.sockets / f"{each.name}.link", each.socket) for each in self.workers]
        self.links = Links([*self._server_links(), *doors])
        self.running: dict[str, Running] = {}
        """The processes, by the names of their servers."""

    def _make_servers(self) -> None:
        """Redis and MongoDB tell their clients where they are: they are given the port of the link, and listen on another one."""
        self._redis_port, self._mongo_port = free_port(also=REDIS_BUS), free_port()
        self._postgres = postgres_of(self.home)
        password = secrets.read(self._vault, "redis_password")
        announced = free_port(also=REDIS_BUS)
        own = [f"port {self._redis_port}", f"cluster-announce-port {announced}"]
        self._redis = Redis(self.home.folder("redis"), password, announced, own)
        password, key = secrets.read(self._vault, "mongo_password"), secrets.read(self._vault, "mongo_keyfile")
        self._mongo = Mongo(self.home.folder("mongo"), password, key, free_port(), {"--port": self._mongo_port})
        self.pulsar = Advertised(self.home.folder("pulsar"), self._vault)
        self.pulsar.advertised = free_port()
        self._opensearch = OpenSearch(self.home.folder("opensearch"))
        self._sandbox = Sandbox(self.home.folder("sandbox"), self._vault, f"{self._edge.url}/v1/payments/webhook/sandbox")
        self._opensearch_port, self._sandbox_port = free_port(), free_port()
        self._postgres_link = self.home.sockets / "link"

    def _server_links(self) -> Sequence[Link]:
        self._postgres_link.mkdir(exist_ok=True, mode=0o700)
        return [
            Link("postgres", self._postgres_link / ".s.PGSQL.5432", self._postgres.sockets / ".s.PGSQL.5432"),
            Link(self._redis.name, self._redis.port, self._redis_port),
            Link("mongo", self._mongo.port, self._mongo_port),
            Link("pulsar", self.pulsar.advertised, self.pulsar.ports.plain),
            Link("opensearch", self._opensearch_port, self._opensearch.ports.http),
            Link("sandbox", self._sandbox_port, self._sandbox.port),
        ]

    def _environment(self) -> Mapping[str, str]:
        events = self.pulsar.url(WORKER_ROLE)
        return {
            "BAZAAR_DATABASE_URL": f"postgresql://bazaar_{{service}}@/bazaar_{{service}}?host={self._postgres_link}",
            "BAZAAR_EVENTS_URL": events.replace(f":{self.pulsar.ports.plain}/", f":{self.pulsar.advertised}/"),
            "BAZAAR_REDIS_URL": self._redis.url,
            "BAZAAR_MONGO_URL": self._mongo.url,
            "BAZAAR_SEARCH_URL": f"http://127.0.0.1:{self._opensearch_port}",
            "BAZAAR_GATEWAYS": f"sandbox=http://127.0.0.1:{self._sandbox_port}",
            "BAZAAR_SECRETS": str(self._vault),
            "BAZAAR_SHED_WAIT_SECONDS": "0",
            "PYTHONUNBUFFERED": "1",
        }

    @contextmanager
    def up(self) -> Iterator[None]:
        """Serves for the length of the block."""
        with ExitStack() as stack:
            stack.enter_context(self.links)
            servers = [self._postgres, self._redis, self._mongo, self.pulsar, self._opensearch, self._sandbox]
            self._start(stack, servers)
            self._postgres.create_databases(databases())
            self._gate.touch()
            self._run(Program(command(self._gate, "migrate"), {**self._environment(), "BAZAAR_EVENTS_URL": self.pulsar.admin_url()}))
            doors = [str(self.links.at(worker.name)) for worker in self.workers]
            self._run(Program([sys.executable, "-m", "gateway", str(self.home.path), str(self.port), str(self._edge.tls_port), *doors]))
            self._start(stack, self.workers)
            self._start(stack, [self._edge])
            yield

    def _start(self, stack: ExitStack, servers: Sequence[Server]) -> None:
        started = [Running(server, self.home.log(server.name), timeout=START_SECONDS) for server in servers]
        for server, each in zip(servers, started, strict=True):
            each.start()
            # Of all but PostgreSQL, which leaves shared memory, nothing is left once its folder is gone.
            stack.callback(each.stop if server is self._postgres else each.kill)
            self.running[server.name] = each
        with ThreadPoolExecutor(len(started)) as pool:
            list(pool.map(Running.wait, started))

    def _run(self, program: Program) -> None:
        with self.home.log("preparing").open("ab") as output:
            assert subprocess.run(program.command(), **program.options(output), check=False).returncode == 0

    def send(self, name: str, number: signal.Signals) -> None:
        """Signals a server and its children; PostgreSQL has one for each connection."""
        pid = self.running[name].pid
        for each in [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]:
            os.kill(each, number)

    async def waiting(self) -> int:
        """Events that have yet to get to the bus."""
        counts = [await self.servers.rows(self.database(name), "SELECT count(*) FROM outbox") for name in ("orders", "payments")]
        return sum(count for ((count,),) in counts)

    def get(self, path: str) -> Any:
        """What the edge answers with."""
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", trust_env=False, timeout=10).raise_for_status().json()

    @property
    def servers(self) -> Servers:
        """Where things are, past the links."""
        databases = self._postgres.url("bazaar_{service}", "bazaar_{service}")
        return Servers(databases, self.pulsar.admin_url(), self.home.folder("sandbox") / "books.sqlite")

    def database(self, name: str) -> str:
        return self.servers.database(name)

    async def violations(self) -> list[str]:
        """What doesn't hold of the shop, as sentences."""
        return await violations(self.servers)
