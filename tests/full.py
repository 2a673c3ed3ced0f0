"""A full home for tests, and an OpenSearch by itself: what is marked `full` runs with BAZAAR_TEST_ALL, and where Java and Maven are."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
import redis
from pymongo import MongoClient
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.retry import Retry

from tests.chaos.recovery import Row, back, recovered, until
from tests.chaos.rush import Rush
from tests.shell import Shell
from tools import secrets
from tools.processes import Identity
from tools.servers import Running, opensearch
from tools.servers.java import JavaMissing, find_java
from tools.servers.maven import MavenMissing
from tools.servers.redis_cluster import Node, nodes_of

NODES = [f"redis-{number}" for number in range(1, 7)]
MEMBERS = [f"mongo-{number}" for number in range(1, 4)]
DATABASES = ["postgres-1", "postgres-2"]

FREEZE_SECONDS = 20.0

SKIPPED = pytest.mark.skipif(
    not os.environ.get("BAZAAR_TEST_ALL"), reason="needs Java and 400 MB of Pulsar and OpenSearch; ./bazaar test --all"
)

TIMEOUT = pytest.mark.timeout(400)
"""A first test waits for 400 MB."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Says of what is marked that it runs on request only."""
    for item in items:
        if item.get_closest_marker("full"):
            item.add_marker(SKIPPED)
            item.add_marker(TIMEOUT)


@pytest.fixture(scope="session")
def opensearch_distribution() -> Path:
    """Fetches OpenSearch, once for all homes of this user; skips the test where the machine has no Java or no Maven."""
    try:
        return opensearch.fetch(find_java(os.environ, opensearch.JAVA), os.environ)
    except (JavaMissing, MavenMissing) as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def opensearch_url(opensearch_distribution: Path, short_directory: Path) -> Iterator[str]:
    """The address of a node that tests share, in no home."""
    server = opensearch.OpenSearch(short_directory / "opensearch")
    with Running(server, short_directory / "opensearch.log", timeout=90):
        yield server.url


@pytest.fixture(scope="session")
def full(pulsar_jars: Path, opensearch_distribution: Path, short_directory: Path) -> Iterator[Shell]:
    """The full home that tests share; leave it running."""
    shell = Shell(short_directory / "full")
    try:
        shell.up("--full")
        yield shell
    finally:
        shell.end()


class Hit:
    """A signal to a process, and to those that belong to it, and when it was; what is frozen is thawed after a while."""

    def __init__(self, shell: Shell, victim: str, number: signal.Signals, others: Sequence[Identity] = ()) -> None:
        found = shell.process(victim).identity
        assert found is not None
        self.victim, self.identity, self.at = victim, found, time.monotonic()
        self._name = number.name.removeprefix("SIG")
        for each in (found, *others):
            each.send(number)
            if number is signal.SIGSTOP:
                asyncio.get_running_loop().call_later(FREEZE_SECONDS, each.send, signal.SIGCONT)

    async def back(self, shell: Shell) -> float:
        """When another process of that name is ready."""
        return await back(shell, self.victim, self.identity, seconds=90)

    async def over(self, shell: Shell, rush: Rush, rows: list[Row]) -> Row:
        """What came of it, once the process is back and orders go well."""
        row = await recovered(rush, self.victim, self._name, self.at, await self.back(shell))
        rows.append(row)
        print(row)
        return row


class RedisNodes:
    """The nodes of a full home, by the names of their processes."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self.password = secrets.read(shell.home.folder("secrets"), "redis_password")

    def port(self, name: str) -> int:
        return int(self._shell.process(name).address.rpartition(":")[2])

    def client(self, name: str) -> redis.Redis:
        return self.client_at(self.port(name))

    def client_at(self, port: int) -> redis.Redis:
        return redis.Redis(port=port, password=self.password, socket_timeout=2, retry=Retry(NoBackoff(), 0))

    def known(self, without: str = "") -> list[Node]:
        """What the first that answers knows of all.

        Args:
            without: one that isn't asked.
        """
        for name in NODES:
            if name != without:
                with suppress(redis.RedisError):
                    return nodes_of(self.client(name))
        raise AssertionError("no node answers")

    def owner(self, key: str, without: str = "") -> str:
        """Who has the key's slot."""
        return self._name(next(node for node in self.known(without) if node.has(self.slot(key))))

    def slot(self, key: str) -> int:
        return key_slot(key.encode())

    def copy_of(self, name: str) -> str:
        """Who copies it."""
        own = next(node for node in self.known() if node.port == self.port(name))
        return self._name(next(node for node in self.known() if node.primary_id == own.node_id))

    def _name(self, node: Node) -> str:
        return next(name for name in NODES if self.port(name) == node.port)


async def primary_and_heir(shell: Shell, seconds: float = 30) -> tuple[str, str]:
    """Waits until PostgreSQL's standby can take the primary's place; the names of their processes."""
    await until(lambda: "heir" in _roles(shell), seconds)
    roles = _roles(shell)
    return roles["primary"], roles["heir"]


def _roles(shell: Shell) -> dict[str, str]:
    return {shell.process(name).role: name for name in DATABASES}


def mongo_primary(shell: Shell) -> str:
    """The name of its process."""
    for name in MEMBERS:
        address = shell.process(name).address
        with MongoClient(f"mongodb://{address}/?directConnection=true", serverSelectionTimeoutMS=2000) as client:
            if client.admin.command("hello")["isWritablePrimary"]:
                return name
    raise AssertionError("no member is primary")
