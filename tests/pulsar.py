"""A Pulsar broker for tests: what is marked `pulsar` runs with BAZAAR_TEST_ALL, and where Java and Maven are.

A start takes some ten seconds, so that a test process has one broker (the fixture `pulsar`); a test that maltreats one starts its own.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tools.secrets import make_missing
from tools.servers import Running
from tools.servers.java import JavaMissing, find_java
from tools.servers.maven import MavenMissing
from tools.servers.pulsar import JAVA, Pulsar, archive, fetch, rehearse

START_SECONDS = 90
"""How long a broker may take; one that was killed takes longer."""
TIMEOUT = pytest.mark.timeout(400)
"""A first test waits for 234 MB of jars."""
SKIPPED = pytest.mark.skipif(not os.environ.get("BAZAAR_TEST_ALL"), reason="needs Java and 234 MB of Pulsar's jars; ./bazaar test --all")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Says of what is marked that it runs on request only."""
    for item in items:
        if item.get_closest_marker("pulsar"):
            item.add_marker(SKIPPED)
            if not item.get_closest_marker("timeout"):
                item.add_marker(TIMEOUT)


class Broker:
    """A broker that a test may kill and freeze.

    `server` knows its URLs: of a role (`url`), over TLS (`tls_url`), of the role that may do everything (`admin_url`).
    """

    def __init__(self, folder: Path) -> None:
        secrets = folder / "secrets"
        secrets.mkdir(parents=True, exist_ok=True)
        make_missing(secrets)
        self.server = Pulsar(folder / "pulsar", secrets)
        self.log = folder / "pulsar.log"
        self._running = Running(self.server, self.log, timeout=START_SECONDS)

    @property
    def pid(self) -> int:
        return self._running.pid

    def url(self, role: str) -> str:
        return self.server.url(role)

    def tls_url(self, role: str) -> str:
        return self.server.tls_url(role)

    def admin_url(self) -> str:
        return self.server.admin_url()

    def start(self) -> None:
        """Starts it, on the data of the last time; back when it serves."""
        self._running.start()
        self._running.wait()

    def stop(self) -> int:
        """Ends it as `./bazaar down` does; its exit code."""
        return self._running.stop()

    def kill(self) -> None:
        """Ends it between two instructions."""
        self._running.kill()

    def freeze(self) -> None:
        """Stops it from doing anything, with all its connections open."""
        self._running.send(signal.SIGSTOP)

    def thaw(self) -> None:
        """Lets a frozen one go on."""
        self._running.send(signal.SIGCONT)


@contextmanager
def running_pulsar(folder: Path) -> Iterator[Broker]:
    """A broker of one's own, started and in the end stopped."""
    broker = Broker(folder)
    try:
        broker.start()
        yield broker
    finally:
        broker.stop()


@pytest.fixture(scope="session")
def pulsar_jars() -> Path:
    """Fetches Pulsar, once for all homes of this user; skips the test where the machine has no Java or no Maven."""
    try:
        java = find_java(os.environ, JAVA)
        jars = fetch(java, os.environ)
    except (JavaMissing, MavenMissing) as missing:
        pytest.skip(str(missing))
    rehearse(archive(java, os.environ))
    return jars


@pytest.fixture(scope="session")
def pulsar(pulsar_jars: Path, short_directory: Path) -> Iterator[Broker]:
    """The broker that a process's tests share. Take topics of your own."""
    with running_pulsar(short_directory / "pulsar") as broker:
        yield broker
