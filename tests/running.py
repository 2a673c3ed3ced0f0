"""One Bazaar as `./bazaar up --detach` starts it, for every test that wants the whole system behind its edge."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.invariants import Servers
from tests.sandbox import SandboxClient
from tools import ROOT
from tools.credentials import postgres_of
from tools.home import Home
from tools.servers import free_port


class RunningBazaar:
    """A home in a temporary directory, with a port of its own. Every call is traced and in the edge's log.

    Args:
        options: of `up`.
        settings: what it is started with besides.
    """

    def __init__(self, path: Path, *options: str, **settings: str) -> None:
        self.home = Home(path)
        self._options, self._settings = options, settings
        self.port = free_port()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def traces(self) -> Path:
        return self.home.folder("traces")

    @property
    def logs(self) -> Path:
        return self.home.folder("logs")

    @property
    def servers(self) -> Servers:
        """Its databases, for the judge."""
        postgres = postgres_of(self.home)
        return Servers(postgres.url("bazaar_{service}"), postgres.url("bazaar_events"), self.home.folder("sandbox") / "books.sqlite")

    def sandbox(self) -> SandboxClient:
        """A client of its payment gateway."""
        state = self.home.read_state()
        assert state is not None
        [address] = [process.address for process in state.processes if process.name == "sandbox"]
        return SandboxClient(f"http://{address}", self.secret("sandbox_key"))

    def secret(self, name: str) -> str:
        return (self.home.folder("secrets") / name).read_text().strip()

    def environment(self) -> dict[str, str]:
        """For commands that are to find it."""
        own = {"BAZAAR_EDGE_PORT": str(self.port), "BAZAAR_TRACE_SAMPLING": "all", "BAZAAR_ACCESS_LOG": "all"}
        # A machine that has much else to do is no reason to refuse a test's calls.
        own["BAZAAR_SHED_WAIT_SECONDS"] = "0"
        return {**os.environ, **own, **self._settings}

    def run(self, *arguments: str, timeout: float = 100) -> subprocess.CompletedProcess[str]:
        """Runs a ./bazaar command on this home."""
        command = [sys.executable, "-m", "tools", "--home", str(self.home.path), *arguments]
        return subprocess.run(command, cwd=ROOT, env=self.environment(), capture_output=True, text=True, check=False, timeout=timeout)

    def start(self) -> None:
        """Starts it; on another port when somebody has taken this one meanwhile."""
        done = self.run("up", "--detach", *self._options)
        if done.returncode and "in use" in done.stderr:
            self.port = free_port()
            done = self.run("up", "--detach", *self._options)
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def running(short_directory: Path) -> Iterator[RunningBazaar]:
    """The system that tests share; a mesh with BAZAAR_TEST_MESH=1. Use names of your own in it, and leave it running."""
    bazaar = RunningBazaar(short_directory / "running", *(["--mesh"] if os.environ.get("BAZAAR_TEST_MESH") else []))
    try:
        bazaar.start()
        yield bazaar
    finally:
        bazaar.run("down")
