"""Keeps one server process alive."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from pathlib import Path

from tools import ExpectedFailure
from tools.home import ProcessState
from tools.processes import Identity, cpu_ticks
from tools.servers import Server

FIRST_DELAY, LONGEST_DELAY = 0.1, 1.5
"""Seconds before a restart: doubling, and always within two seconds."""
SETTLED = 30.0
"""A process that lived this long starts from the first delay again."""
POLL = 0.05
LOOK_EVERY = 2.0
SILENCES = 4
"""A process that was ready is killed, for a new one to take its place, once it has been silent at so many looks in a row, two seconds
each, and idle from one to the next: it may hold what others wait for. One that works is only slow, and dead it would be slower still."""
STOP = 15.0
"""Seconds that a process has to end by itself."""


class Child:
    """A server and its current process; restarted for ever until it is stopped."""

    def __init__(self, server: Server, log: Path, changed: Callable[[], None]) -> None:
        self.server = server
        self.ready = asyncio.Event()
        self.deaths = 0
        self._log = log
        self._changed = changed
        self._state = "waiting"
        self._failure = ""
        self._identity: Identity | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None

    def snapshot(self) -> ProcessState:
        return ProcessState(self.server.name, self.server.role, self.server.address, self._state, self._identity)

    def start(self) -> None:
        """Begins keeping it alive."""
        self._task = asyncio.create_task(self._keep_alive(), name=self.server.name)

    async def started(self, tries: int = 3) -> None:
        """Waits until it is ready.

        Raises:
            ExpectedFailure: it could not be prepared, or ended `tries` times before it was ready.
        """
        assert self._task is not None
        while not self.ready.is_set():
            if self.deaths >= tries:
                why = self._failure or f"{last_line(self._log)} (see {self._log})"
                raise ExpectedFailure(f"{self.server.name} does not start: {why}")
            await asyncio.sleep(POLL)

    async def stop(self) -> None:
        """Ends it: its own signal first, SIGKILL when that is not heard."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        process, identity = self._process, self._identity
        # Signals go by the identity: asyncio's own way collects a process that has just ended, and its watcher then misses it.
        if process and identity and process.returncode is None:
            self._become("stopping")
            identity.send(self.server.program().stop_signal)
            try:
                await asyncio.wait_for(process.wait(), STOP)
            except TimeoutError:
                identity.send(signal.SIGKILL)
                await process.wait()
        self._identity = None
        self._become("stopped")

    async def replace(self, server: Server) -> None:
        """Ends it, and keeps another server alive in its place; back when that is ready.

        Raises:
            ExpectedFailure: it does not start.
        """
        await self.stop()
        self.server, self.deaths = server, 0
        self.ready.clear()
        self.start()
        await self.started()

    async def _keep_alive(self) -> None:
        delay = FIRST_DELAY
        while True:
            born = time.monotonic()
            await self._live()
            if time.monotonic() - born > SETTLED:
                delay = FIRST_DELAY
            self.deaths += 1
            self.ready.clear()
            self._identity = None
            self._become("restarting")
            await asyncio.sleep(delay)
            delay = min(delay * 2, LONGEST_DELAY)

    async def _live(self) -> None:
        """One process, from its start to its end."""
        self._become("starting")
        try:
            await asyncio.to_thread(self.server.prepare)
        except (OSError, ExpectedFailure) as error:
            self._failure = str(error)
            return
        program = self.server.program()
        with self._log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(*program.command(), **program.options(output))
        self._process = process
        try:
            self._identity = Identity.of(process.pid)
        except ProcessLookupError:
            await process.wait()
            return
        self._become("starting")
        ended = asyncio.create_task(process.wait())
        try:
            await self._until_ready(ended)
            await self._until_ended(ended)
        finally:
            ended.cancel()

    async def _until_ready(self, ended: asyncio.Task[int]) -> None:
        while not ended.done():
            if await asyncio.to_thread(self.server.ready):
                self.ready.set()
                self._become("ready")
                return
            await asyncio.sleep(POLL)

    async def _until_ended(self, ended: asyncio.Task[int]) -> None:
        """Looks after it for as long as it lives."""
        assert self._identity is not None
        silences, worked = 0, 0
        while not (await asyncio.wait({ended}, timeout=POLL if silences else LOOK_EVERY))[0]:
            is_silent, before, worked = not await asyncio.to_thread(self.server.answers), worked, cpu_ticks(self._identity.pid)
            silences = silences + 1 if is_silent and worked == before else int(is_silent)
            if silences == SILENCES:
                self._identity.send(signal.SIGKILL)

    def _become(self, state: str) -> None:
        self._state = state
        self._changed()


def last_line(log: Path) -> str:
    """The last line that says something, for an error message."""
    try:
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        lines = []
    return lines[-1][:300] if lines else "it said nothing"
