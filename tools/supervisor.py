"""Owns every process of one home: starts them in order, restarts what dies, and takes them all along when it ends.

Run as `python -m tools.supervisor HOME [BUS] [mesh] [full]`. Until it is ready or has failed it tells how far it is, in JSON lines.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import shutil
import signal
import sys
import time
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from pathlib import Path

from tools import ExpectedFailure, bus, changeover, early, secrets
from tools.bus import Bus
from tools.child import POLL, Child, last_line
from tools.home import Home, Phase, State, rotate
from tools.mesh import Mesh
from tools.processes import Identity, end
from tools.profiles import FULL, MESH
from tools.servers import Program, Server
from tools.servers.envoy import Envoy
from tools.servers.worker import Worker
from tools.stack import Stack

GIVE_UP, GIVE_UP_FULL = 90.0, 180.0
"""Seconds for a start, and for one of a full home; a first one takes some 10 s on two cores, and some 40."""
LOG_CHECK = 5.0


class Supervisor:
    """One home's processes.

    Args:
        wishes: for a new home: an engine of the event bus, and names of profiles.
    """

    def __init__(self, home: Home, wishes: Sequence[str]) -> None:
        self._home = home
        self._wishes = wishes
        self._identity = Identity.of(os.getpid())
        self._phase: Phase = "starting"
        self._stack: Stack | None = None
        self._children: list[Child] = []
        self._buses: list[Bus] = []
        self._works: list[asyncio.Task[None]] = []
        self._looks, self._trouble = 0, ""
        self._stop = asyncio.Event()
        self._look_again = asyncio.Event()

    async def run(self) -> int:
        """Starts everything, waits for SIGTERM or SIGINT, ends everything. Returns the exit code.

        At SIGUSR1 it looks again which event bus the home has, or is to have.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGUSR1, self._look_again.set)
        code, works = 0, self._works
        works.append(asyncio.create_task(self._rotate_logs()))
        try:
            await self._start_unless_stopped()
            works.append(asyncio.create_task(self._follow_the_bus()))
            await self._stop.wait()
        except (ExpectedFailure, OSError) as error:
            tell("failed", str(error))
            code = 1
        finally:
            self._enter("stopping")
            for work in works:
                work.cancel()
            await asyncio.wait(works)
            await self._stop_all()
            shutil.rmtree(self._home.sockets, ignore_errors=True)
            self._enter("failed" if code else "stopped")
        return code

    async def _start_unless_stopped(self) -> None:
        start = asyncio.create_task(self._start())
        stop = asyncio.create_task(self._stop.wait())
        give_up = GIVE_UP_FULL if FULL.name in self._wishes else GIVE_UP
        done, _ = await asyncio.wait({start, stop}, timeout=give_up, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if start in done:
            return start.result()
        start.cancel()
        await asyncio.gather(start, return_exceptions=True)
        if not self._stop.is_set():
            late = [child.server.name for child in self._children if not child.ready.is_set()]
            raise ExpectedFailure(f"not ready after {give_up:.0f} s: {', '.join(late)} (see {self._home.folder('logs')})")
        return None

    async def _start(self) -> None:
        tell("step", "Making secrets")
        self._home.prepare()
        end_leftovers(self._home)
        secrets.make_missing(self._home.folder("secrets"))
        is_mesh, is_full = (profile.choose(self._home, profile.name in self._wishes) for profile in (MESH, FULL))
        engine = bus.choose(self._home, next((engine for engine in Bus if engine in self._wishes), None))
        own = Mesh(self._home) if is_mesh else None
        stack = self._stack = Stack(self._home, engine, own, is_full=is_full)
        stack.edge.prepare()
        self._enter("starting")
        bus.remember(self._home, engine)
        MESH.remember(self._home, is_mesh)
        FULL.remember(self._home, is_full)
        if own:
            own.prepare()
        self._works += map(asyncio.create_task, stack.works(self._write))
        more = ", Pulsar, OpenSearch" if is_full else ", Pulsar" if stack.pulsar else ""
        tell("step", f"Starting PostgreSQL, Redis, MongoDB, the payment sandbox{more}")
        for gate in (stack.created, stack.migrated):
            gate.unlink(missing_ok=True)
        servers = [self._add(server) for server in stack.servers]
        workers = [self._add(worker) for worker in stack.workers]
        configuration = asyncio.create_task(self._run("edge-configuration", stack.configuration()))
        await together(self._migrate(stack, servers), *(child.started() for child in servers))
        if engine is Bus.POSTGRES:
            await changeover.take_events_again(self._home, bus.events_in_postgres(stack.postgres))
        stack.migrated.touch()
        tell("step", "Starting the workers")
        await together(configuration, *(child.started() for child in workers))
        tell("step", "Opening the edge")
        await self._add(stack.edge).started(tries=1)
        self._buses = [engine]
        self._enter("ready")
        tell("ready", stack.edge.url)

    async def _migrate(self, stack: Stack, servers: Sequence[Child]) -> None:
        migration = self._run("migrate", Program(early.command(stack.created, "migrate"), stack.migration_environment()))
        await together(self._create_databases(stack, servers), migration)

    async def _create_databases(self, stack: Stack, servers: Sequence[Child]) -> None:
        """Opens the gate to the migration when there is what it works on: the databases, and Pulsar where that is the bus."""
        await servers[0].started()
        await asyncio.to_thread(stack.create_databases)
        await asyncio.gather(*(child.started() for child in servers if child.server is stack.pulsar))
        tell("step", "Bringing the databases up to date")
        stack.created.touch()

    def _add(self, server: Server) -> Child:
        child = Child(server, self._home.log(server.name), self._write)
        self._children.append(child)
        child.start()
        return child

    async def _run(self, name: str, program: Program) -> None:
        """Runs a program to its end.

        Raises:
            ExpectedFailure: it failed; the message is the last it said.
        """
        log = self._home.log(name)
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(*program.command(), **program.options(output))
        try:
            code = await process.wait()
        except asyncio.CancelledError:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
            raise
        if code:
            raise ExpectedFailure(f"{name} failed: {last_line(log)} (see {log})")

    async def _follow_the_bus(self) -> None:
        """Changes what runs to what the home's event bus takes, whenever it is told to look again."""
        assert self._stack is not None
        while True:
            await self._look_again.wait()
            self._look_again.clear()
            self._trouble = ""
            try:
                await self._change_bus(self._stack, bus.bus_of(self._home), bus.planned(self._home))
            except (ExpectedFailure, OSError) as error:
                self._trouble = str(error)
            self._looks += 1
            self._write()

    async def _change_bus(self, stack: Stack, own: Bus | None, planned: Bus | None) -> None:
        if Bus.PULSAR in (own, planned) and Bus.PULSAR not in self._buses:
            await self._start_pulsar(stack)
            self._buses.append(Bus.PULSAR)
        if own is Bus.PULSAR and self._buses[0] is not Bus.PULSAR:
            await changeover.replace_workers(stack, self._children)
            self._buses = [Bus.PULSAR]
        if Bus.PULSAR not in (own, planned):
            await self._stop_pulsar(stack)

    async def _start_pulsar(self, stack: Stack) -> None:
        """A broker with all that the services want of it, or none."""
        child = self._add(stack.add_pulsar())
        try:
            async with asyncio.timeout(GIVE_UP):
                await child.started()
            await self._run("migrate", Program(early.command(stack.created, "migrate"), stack.migration_environment()))
        except BaseException as error:
            await self._stop_pulsar(stack)
            if isinstance(error, TimeoutError):
                raise ExpectedFailure(f"Pulsar is not ready after {GIVE_UP:.0f} s (see {self._home.log('pulsar')})") from None
            raise

    async def _stop_pulsar(self, stack: Stack) -> None:
        for child in [child for child in self._children if child.server is stack.pulsar]:
            await child.stop()
            self._children.remove(child)
        stack.pulsar = None
        self._buses = [each for each in self._buses if each is not Bus.PULSAR]

    async def _stop_all(self) -> None:
        """The edge first, then the workers, which finish what they have, then what they stand on."""
        workers = [child for child in self._children if isinstance(child.server, Worker)]
        edge = [child for child in self._children if isinstance(child.server, Envoy)]
        rest = [child for child in self._children if child not in (*workers, *edge)]
        # In a mesh what the services finish takes them to each other, through the same Envoy.
        for part in (workers, edge, rest) if self._stack and self._stack.mesh else (edge, workers, rest):
            await asyncio.gather(*(child.stop() for child in part))

    async def _rotate_logs(self) -> None:
        while True:
            await asyncio.sleep(LOG_CHECK)
            for log in self._home.folder("logs").glob("*.log"):
                with suppress(OSError):
                    rotate(log)

    def _enter(self, phase: Phase) -> None:
        self._phase = phase
        self._write()

    def _write(self) -> None:
        edge = self._stack.edge.url if self._stack else ""
        processes = [child.snapshot() for child in self._children]
        sockets = str(self._home.sockets)
        with suppress(OSError):
            # A full disk must not end what still runs.
            self._home.write_state(State(self._phase, self._identity, edge, sockets, processes, self._buses, self._looks, self._trouble))


async def together(*steps: Awaitable[None]) -> None:
    """Waits for all; the first failure ends the rest."""
    tasks = [asyncio.ensure_future(step) for step in steps]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


def end_leftovers(home: Home) -> None:
    """Ends what a killed supervisor left; most of it has had the kernel's word already."""
    state = home.read_state()
    if state:
        end([process.identity for process in state.processes if process.identity], seconds=10)


def tell(kind: str, text: str) -> None:
    """Says how far the start is; nobody need listen any more."""
    with suppress(OSError):
        os.write(sys.stdout.fileno(), (json.dumps({kind: text, "at": time.time()}) + "\n").encode())


def take(home: Home) -> int | None:
    """Takes the home, if need be from a supervisor that is on its way out."""
    give_up = time.monotonic() + GIVE_UP
    while (lock := home.lock()) is None and time.monotonic() < give_up:
        state = home.read_state()
        if state and state.is_running() and state.phase in ("starting", "ready"):
            return None
        time.sleep(POLL)
    return lock


def main(arguments: Sequence[str]) -> int:
    """Runs the supervisor of a home; 1 when the home is taken or the start failed."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    # For the children: every connection of the edge is a file, and so is every table of MongoDB.
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    home = Home(Path(arguments[0]))
    try:
        home.prepare()
        lock = take(home)
    except (ExpectedFailure, OSError) as error:
        tell("failed", str(error))
        return 1
    if lock is None:
        tell("taken", str(home.path))
        return 1
    return asyncio.run(Supervisor(home, arguments[1:]).run())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
