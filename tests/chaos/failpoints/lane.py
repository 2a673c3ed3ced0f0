"""A shop of its own, whose one process is killed and started again, over and over."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import TupleRow
from redis.asyncio import Redis

from services.kit.rpc.client import socket_channel
from services.kit.settings import Settings
from tests.chaos.failpoints.kinds import Kind
from tests.invariants import Servers, asked
from tests.sandbox import Door, SandboxClient
from tests.shop import Shop, webhooks_to
from tools import ROOT

_CRASHES = {Kind.CRASH_BEFORE, Kind.CRASH_AFTER}
_PIPE = asyncio.subprocess.PIPE
_START_SECONDS = 60.0
_WORDS = ("ready", "serving", "armed", "reached", "stopping", "gone")


@dataclass(frozen=True)
class OpenServers(Servers):
    """Connections are kept: a case looks often."""

    _connections: dict[str, asyncio.Future[psycopg.AsyncConnection[TupleRow]]] = field(default_factory=dict, compare=False)

    async def rows(self, url: str, statement: str, *values: Any) -> list[Any]:
        if url not in self._connections:
            self._connections[url] = asyncio.ensure_future(psycopg.AsyncConnection.connect(url, autocommit=True))
        return await asked(await asyncio.shield(self._connections[url]), statement, *values)

    async def close(self) -> None:
        for connection in self._connections.values():
            await (await connection).close()


class Lane(Shop):
    """All that it keeps is its own, so that lanes run side by side.

    Args:
        door: where the gateway's webhooks arrive.
        log: where its processes log.
    """

    def __init__(self, settings: Settings, servers: Servers, sandbox: SandboxClient, door: Door, log: Path) -> None:
        super().__init__(None, settings, servers, sandbox)  # type: ignore[arg-type] (its processes are others)
        self.passed: set[str] = set()
        self.known: set[str] = set()
        """Violations that an earlier case is to blame for."""
        self.is_up = False
        self._door = door
        self._log = log
        self._process: asyncio.subprocess.Process | None = None
        self._said: dict[str, asyncio.Event] = {word: asyncio.Event() for word in _WORDS}
        self._starts = 0

    async def open(self) -> None:
        settings = self.settings.model_dump_json(exclude_defaults=True)
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.chaos.failpoints.victim", settings), cwd=ROOT, stdin=_PIPE, stdout=_PIPE, stderr=log
            )
        self._listening = asyncio.create_task(self._listen(self._process))
        await self._until("ready")

    async def close(self) -> None:
        await self._hang_up()
        if self._process and self._process.stdin:
            self._process.stdin.close()
            await self._process.wait()
            await self._listening

    async def start(self, **orders: Any) -> None:
        """Starts the process; what its predecessor held it takes over at once.

        Args:
            orders: what it is to do from its first moment on, as `tell` takes it.
        """
        await self._hang_up()
        self.passed.clear()
        # A dead member's partitions are free after two seconds.
        await self.execute("events", "UPDATE members SET expires_at = now() - interval '1 second'")
        self._starts += 1
        listen = f"{self.settings.listen.removesuffix('.sock')}-{self._starts}.sock"
        await self._say({"listen": listen, **orders}, "serving", also="gone" if orders else "")
        self.is_up = not self._said["gone"].is_set()
        self._channel = socket_channel(listen)
        self._door.hear = webhooks_to(self)

    async def restart(self, **orders: Any) -> None:
        """Kills the process and starts another one."""
        if self.is_up and not self._said["gone"].is_set():
            await self._say({"kill": True}, "gone")
        await self.start(**orders)

    async def forget_scripts(self) -> None:
        """Has Redis be as after a restart, to whoever runs a script."""
        async with Redis.from_url(self.settings.redis_url) as client:
            await client.script_flush()

    async def tell(self, **orders: Any) -> None:
        """Arms a failpoint (`name` and `kind`), or has the process note from now on which are passed (`record`)."""
        self.passed.clear()
        await self._say(orders, "armed")

    async def reached(self, seconds: float) -> bool:
        """Whether the armed failpoint is reached within so long."""
        with suppress(TimeoutError):
            await self._until("reached", seconds)
        return self._said["reached"].is_set()

    async def survives(self, kind: Kind) -> bool:
        """Whether the process goes on after what has happened to it; if not, waits for its end."""
        if kind in _CRASHES or self._said["stopping"].is_set() or not self.is_up:
            await self._until("gone")
            self.is_up = False
        return self.is_up

    async def _hang_up(self) -> None:
        if self._channel:
            self._door.hear = lambda headers, body: 503
            await self._channel.close()
            self._channel = None

    async def _say(self, document: dict[str, Any], answer: str, also: str = "") -> None:
        assert self._process
        assert self._process.stdin
        for word in {answer, "gone"}:
            self._said[word].clear()
        if "name" in document:
            self._said["reached"].clear()
            self._said["stopping"].clear()
        self._process.stdin.write(json.dumps(document).encode() + b"\n")
        await self._until(answer, also=also)

    async def _until(self, word: str, seconds: float = _START_SECONDS, also: str = "") -> None:
        waiting = [asyncio.ensure_future(self._said[one].wait()) for one in (word, also) if one]
        done, _ = await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        if not done:
            raise TimeoutError(f"the process didn't say {word}; see {self._log}")

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout
        async for line in process.stdout:
            word, _, rest = line.decode().strip().partition(" ")
            if word == "passed":
                self.passed.add(rest)
            elif word in self._said:
                self._said[word].set()
