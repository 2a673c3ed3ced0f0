"""Processes of the shop that stop at a failpoint: `python -m tests.chaos.failpoints.victim SETTINGS`.

Imports the services once, instrumented, and then forks one process after the other, because what takes seconds is the importing. A crash
here is SIGKILL, sent by the process to itself at the failpoint: nothing is unwound, and the servers see its connections end.

It is told what to do in lines of JSON on its input, which the process that serves reads, and says in lines what has happened: `serving`,
`reached NAME`, `passed NAME`, `gone STATUS`.
"""

from __future__ import annotations

import ast
import asyncio
import builtins
import functools
import gc
import importlib.abc
import importlib.machinery
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any

import structlog
import uvloop

from tests.chaos.failpoints.discovery import SERVICES, Instrument, files
from tests.chaos.failpoints.kinds import HELD_SECONDS, Kind

if TYPE_CHECKING:
    from services.kit.settings import Settings

_MOST = 65536
"""A command's longest length: a pipe holds as much."""


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


class Failpoints:
    """What instrumented code asks at every failpoint."""

    def __init__(self) -> None:
        self._armed = ""
        self._kind = Kind.LATE
        self._passed: set[str] | None = None
        self._held: asyncio.TimerHandle | None = None

    def obey(self, orders: dict[str, Any]) -> None:
        """Arms a failpoint, or notes from now on which are passed, or dies."""
        if orders.get("kill"):
            os.kill(os.getpid(), signal.SIGKILL)
        if self._held:
            self._held.cancel()
            self._held = None
        self._armed, self._kind = orders.get("name", ""), Kind(orders.get("kind", Kind.LATE))
        self._passed = set() if orders.get("record") else None

    async def awaited(self, name: str, target: str, effect: Callable[..., Awaitable[Any]], /, *arguments: Any, **more: Any) -> Any:
        """Stands for an await."""
        if not self._is_here(name):
            return await effect(*arguments, **more)
        match self._kind:
            case Kind.CRASH_BEFORE:
                await self._die(name)
            case Kind.CRASH_AFTER:
                # Refused or done, nobody hears of it.
                with suppress(Exception):
                    await effect(*arguments, **more)
                await self._die(name)
            case Kind.CANCELLED:
                self._cancel(name)
                return await effect(*arguments, **more)
            case _:
                self._reach(name)
                with suppress(Exception):
                    if not _takes(target):
                        await effect(*arguments, **more)
                raise _too_late(target)
        raise AssertionError("nobody comes back from death")

    async def iterated(self, name: str, target: str, things: Callable[..., AsyncIterable[Any]], /, *arguments: Any, **more: Any) -> Any:
        """Stands for what is iterated over; its effect is the first thing that comes, or that nothing does."""
        asked = aiter(things(*arguments, **more))
        try:
            yield await self.awaited(name, target, asked.__anext__)
            while True:
                yield await anext(asked)
        except StopAsyncIteration:
            pass
        finally:
            if isinstance(asked, AsyncGenerator):
                await asked.aclose()

    @asynccontextmanager
    async def _entered(self, name: str, target: str, transaction: AbstractAsyncContextManager[Any]) -> AsyncGenerator[Any]:
        is_here = False
        async with transaction as tx:
            yield tx
            if is_here := self._is_here(name):
                if self._kind is Kind.CRASH_BEFORE:
                    await self._die(name)
                if self._kind is Kind.CANCELLED:
                    self._cancel(name)
        if is_here and self._kind is Kind.CRASH_AFTER:
            await self._die(name)
        if is_here and self._kind is Kind.LATE:
            self._reach(name)
            raise _too_late(target)

    def entered(self, name: str, target: str, transaction: Callable[[], Any]) -> AbstractAsyncContextManager[Any]:
        """Stands for a transaction, whose effect is its COMMIT."""
        return self._entered(name, target, transaction())

    def _is_here(self, name: str) -> bool:
        if self._passed is not None and name not in self._passed:
            self._passed.add(name)
            say("passed", name)
        return name == self._armed

    def _reach(self, name: str) -> None:
        if self._held is None:
            self._held = asyncio.get_running_loop().call_later(HELD_SECONDS, self._disarm)
            say("reached", name)

    def _disarm(self) -> None:
        self._armed, self._held = "", None

    async def _die(self, name: str) -> None:
        """Hangs here until the process is killed, which leaves a second caller a moment to come here too."""
        if self._held is None:
            self._held = asyncio.get_running_loop().call_later(HELD_SECONDS, self._kill, name)
        else:
            self._kill(name)
        await asyncio.Event().wait()

    def _kill(self, name: str) -> None:
        say("reached", name)
        os.kill(os.getpid(), signal.SIGKILL)

    def _cancel(self, name: str) -> None:
        """As soon as the task waits; what no call waits for is cancelled only when its process is told to stop."""
        from services.kit.rpc import calls

        task, belongs_to_call = asyncio.current_task(), calls.find() is not None
        assert task is not None
        if self._held and not belongs_to_call:
            # Another task has been cancelled here a moment ago, which is no reason to stop the process too.
            return
        asyncio.get_running_loop().call_soon(task.cancel)
        if not belongs_to_call:
            say("stopping")
            os.kill(os.getpid(), signal.SIGTERM)
        self._reach(name)


def _takes(target: str) -> bool:
    """Whether an answer that nobody heard would leave something taken in this process; then it is late before it has begun."""
    return target.endswith("getconn")


def _too_late(target: str) -> Exception:
    """What the code hears when an answer comes after its deadline."""
    import grpc
    import httpx
    import psycopg
    from psycopg_pool import PoolTimeout

    from services.kit.errors import Unavailable
    from services.kit.redis import RedisUnavailable
    from services.payments.gateway import GatewayAway

    who, _, what = target.rpartition(".")
    if _takes(target):
        return PoolTimeout("too late")
    if what[0].isupper() and who:
        return grpc.aio.AioRpcError(grpc.StatusCode.DEADLINE_EXCEEDED, grpc.aio.Metadata(), grpc.aio.Metadata(), "too late")
    if who in ("tx", "connection", "session"):
        return psycopg.OperationalError("too late")
    if who == "self._http":
        return httpx.ReadTimeout("too late")
    if "redis" in who or who == "pipeline" or what.isupper():
        return RedisUnavailable("too late")
    return GatewayAway("sandbox") if who == "gateway" else Unavailable("too late")


class _Loader(importlib.machinery.SourceFileLoader):
    def get_code(self, fullname: str) -> CodeType:
        path = Path(self.path)
        tree = ast.parse(path.read_bytes())
        Instrument(str(path.relative_to(SERVICES)), tree)
        return compile(tree, self.path, "exec", dont_inherit=True)


class _Finder(importlib.abc.MetaPathFinder):
    """Loads the modules on the path of an order instrumented."""

    def __init__(self) -> None:
        self._files = {str(file) for file in files()}

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> Any:
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        if spec is None or spec.origin not in self._files:
            return None
        spec.loader = _Loader(fullname, str(spec.origin))
        return spec


async def _run(failpoints: Failpoints, settings: Settings, orders: dict[str, Any]) -> None:
    from services.__main__ import find_services
    from services.kit.runtime import Runtime

    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_reader(0, _hear, failpoints)
    failpoints.obey(orders)
    runtime = Runtime(find_services([]), settings.model_copy(update={"listen": orders["listen"]}))
    try:
        await runtime.start()
        say("serving")
        await stop.wait()
    finally:
        await runtime.stop()


def _hear(failpoints: Failpoints) -> None:
    line = os.read(0, _MOST)
    if not line:
        os._exit(0)
    failpoints.obey(json.loads(line))
    say("armed")


def _warm_up(settings: Settings) -> None:
    """Builds a shop that nobody opens: half of the work of a process's start is done the first time only."""
    from services.kit.redis import Script

    # Its own scripts: the lanes share a Redis, and one that has just forgotten a script would learn it from another lane.
    plain = Script.__init__
    Script.__init__ = lambda self, name, source: plain(self, name, f"{source}\n-- {settings.process}")
    from services.__main__ import find_services
    from services.kit.auth import Policy
    from services.kit.runtime import Runtime

    Policy.load = functools.cache(Policy.load)
    Runtime(find_services([]), settings)


def main() -> None:
    """Forks a process for every line until its input ends."""
    failpoints = Failpoints()
    builtins.__failpoints__ = failpoints  # type: ignore[attr-defined]
    sys.meta_path.insert(0, _Finder())
    from services.kit.settings import Settings

    settings = Settings(**json.loads(sys.argv[1]))
    _warm_up(settings)
    plainly = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[structlog.processors.add_log_level, plainly], logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    gc.collect()
    gc.freeze()
    say("ready")
    while line := os.read(0, _MOST):
        if (pid := os.fork()) == 0:
            uvloop.run(_run(failpoints, settings, json.loads(line)))
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        # An event loop makes it otherwise, for all who share it.
        os.set_blocking(0, True)
        say("gone", os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
