"""Real servers for tests: each starts once a worker, on the first test that wants it, and dies with it."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from redis import Redis as RedisClient

from tools.servers import Running
from tools.servers.mongo import Mongo
from tools.servers.postgres import Postgres
from tools.servers.redis import Redis

pytest_plugins = [
    "tests.pulsar",
    "tests.full",
    "tests.redis_cluster",
    "tests.shop_fixtures",
    "tests.spread",
    "tests.summary",
]


class TestPostgres:
    """A running PostgreSQL."""

    __test__ = False

    def __init__(self, server: Postgres) -> None:
        self._server = server
        self._numbers = itertools.count(1)

    @property
    def sockets(self) -> Path:
        """The directory of its socket."""
        return self._server.sockets

    def url(self, database: str = "postgres", user: str = "postgres") -> str:
        """The superuser's URL of a database."""
        return self._server.url(database, user)

    def fresh_database(self) -> str:
        """Makes an empty database and returns its URL (superuser). It goes with the server."""
        name = f"test_{next(self._numbers)}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
        return self.url(name)


@pytest.fixture(scope="session")
def short_directory() -> Iterator[Path]:
    """A private directory whose path is short enough for unix sockets."""
    path = Path(tempfile.mkdtemp(prefix="bzt-", dir="/tmp"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def folder() -> Iterator[Path]:
    """The test's own, with a path as short."""
    with tempfile.TemporaryDirectory(prefix="bz-", dir="/tmp") as path:
        yield Path(path)


@pytest.fixture(scope="session")
def postgres(short_directory: Path) -> Iterator[TestPostgres]:
    """PostgreSQL with the settings of `./bazaar up`, except that a test's commits need not survive the machine.

    And that more connections fit: the failpoints' shops, half a dozen at once, take some 50 each.
    """
    server = Postgres(short_directory / "postgres", short_directory / "pg", {"fsync": "off", "max_connections": "600"})
    with Running(server, short_directory / "postgres.log"):
        yield TestPostgres(server)


@pytest.fixture
def database_url(postgres: TestPostgres) -> str:
    """The URL of an empty database of the test's own."""
    return postgres.fresh_database()


@pytest.fixture(scope="module")
def module_database_url(postgres: TestPostgres) -> str:
    """The URL of a database shared by a module's tests."""
    return postgres.fresh_database()


@pytest.fixture(scope="session")
def redis_url(short_directory: Path) -> Iterator[str]:
    """A Redis Cluster of one node, with a password."""
    server = Redis(short_directory / "redis", "test-password")
    with Running(server, short_directory / "redis.log"):
        yield server.url


@pytest.fixture(scope="session")
def emptied_redis_url(short_directory: Path) -> Iterator[str]:
    """Another one, that no shop shares: emptying it takes nothing from under anybody, and nobody fills it up again."""
    server = Redis(short_directory / "emptied-redis", "test-password")
    with Running(server, short_directory / "emptied-redis.log"):
        yield server.url


@pytest.fixture
def empty_redis_url(emptied_redis_url: str) -> str:
    """A Redis Cluster of one node, emptied for this test."""
    with RedisClient.from_url(emptied_redis_url) as client:
        client.flushall()
    return emptied_redis_url


@pytest.fixture(scope="session")
def mongo_url(short_directory: Path) -> Iterator[str]:
    """A MongoDB replica set of one, with authentication. Take a database name of your own."""
    server = Mongo(short_directory / "mongo", "test-password", os.urandom(16).hex())
    with Running(server, short_directory / "mongo.log"):
        yield server.url
