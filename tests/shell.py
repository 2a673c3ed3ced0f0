"""./bazaar as a person at a shell uses it, with a home and a port of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from tests.invariants import violations
from tools import ROOT
from tools.auditing import servers_of
from tools.credentials import postgres_of
from tools.home import Home, ProcessState
from tools.processes import Identity
from tools.servers import free_port


class Shell:
    """One home's ./bazaar."""

    def __init__(self, path: Path) -> None:
        self.home = Home(path)
        self.port = free_port()
        self.environment: dict[str, str] = {}
        """Settings that it starts with."""

    def command(self, *arguments: str) -> dict[str, Any]:
        """What `subprocess` wants to run it."""
        argv: Sequence[str] = [sys.executable, "-m", "tools", "--home", str(self.home.path), *arguments]
        return {"args": argv, "cwd": ROOT, "env": {**os.environ, **self.environment, "BAZAAR_EDGE_PORT": str(self.port)}}

    def run(self, *arguments: str, timeout: float = 100) -> subprocess.CompletedProcess[str]:
        return subprocess.run(**self.command(*arguments), capture_output=True, text=True, check=False, timeout=timeout)

    def up(self, *arguments: str) -> None:
        done = self.run("up", "--detach", *arguments, timeout=200)
        assert done.returncode == 0, done.stderr

    def end(self) -> None:
        """Takes everything down, and the home away."""
        self.run("down")
        shutil.rmtree(self.home.path, ignore_errors=True)

    def processes(self) -> dict[str, dict]:
        return {process["name"]: process for process in json.loads(self.run("status", "--json").stdout)}

    def process(self, name: str) -> ProcessState:
        """As its supervisor sees it: cheaper to ask again and again than `status`."""
        state = self.home.read_state()
        assert state is not None
        return next(process for process in state.processes if process.name == name)

    def identities(self) -> list[Identity]:
        """Everything that runs, the supervisor included."""
        state = self.home.read_state()
        assert state is not None
        return [state.supervisor, *(process.identity for process in state.processes if process.identity)]

    def is_serving(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/healthz", trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    def get(self, path: str) -> Any:
        """What its edge answers with."""
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", trust_env=False).raise_for_status().json()

    def database(self, name: str) -> str:
        """The URL of one of the home's databases."""
        return postgres_of(self.home).url(f"bazaar_{name}", f"bazaar_{name}")

    async def violations(self) -> list[str]:
        """What doesn't hold of the shop, as sentences."""
        return await violations(servers_of(self.home))

    def newest_report(self, title: str) -> dict[str, Any]:
        """What the last run of a command wrote down."""
        newest = max(self.home.folder("reports").glob(f"{title}-*.json"), key=lambda path: path.name)
        return json.loads(newest.read_text())
