"""Time that passes when it is told to, and processes that stop where they are told to: at any of their effects."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Coroutine
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
_QUIET = 12
"""Turns of the loop without an effect after which what lives still must be waiting: more than any of our chains of tasks has links."""


class Crash(BaseException):
    """The process is dead. Not an Exception, so that no rule can handle it."""


@dataclass(frozen=True)
class Stop:
    """Where a process stops: before so many more effects."""

    effects: int
    is_for_ever: bool
    """It dies there; otherwise it freezes, until it is let go on or killed."""


@dataclass(eq=False)
class Process:
    """One attempt at something, in a process of its own."""

    stop: Stop | None = None
    is_dead: bool = False
    is_frozen: bool = False
    task: asyncio.Task[Any] | None = None
    let_go: asyncio.Event = field(default_factory=asyncio.Event)
    passed: int = 0

    async def pass_by(self) -> None:
        """Called around every effect; comes back when the process may go on."""
        if self.stop and self.passed == self.stop.effects:
            self.is_dead, self.is_frozen, self.stop = self.stop.is_for_ever, not self.stop.is_for_ever, None
        self.passed += 1
        if self.is_frozen:
            await self.let_go.wait()
        if self.is_dead:
            raise Crash


_running: ContextVar[Process] = ContextVar("simulated_process")


class Loop(asyncio.SelectorEventLoop):
    """An event loop whose time stands still: deadlines and time-outs pass when the simulation's clock does."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.living = 0
        """Tasks that have not ended."""

    def time(self) -> float:
        return self.now

    def create_task(self, *arguments: Any, **options: Any) -> asyncio.Task[Any]:
        task = super().create_task(*arguments, **options)
        self.living += 1
        task.add_done_callback(self._buried)
        return task

    def _buried(self, task: asyncio.Task[Any]) -> None:
        self.living -= 1


class Clockwork:
    """The clock, and everything that runs by it."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.frozen: list[Process] = []
        self._effects = 0

    def now(self) -> datetime:
        return START + timedelta(seconds=self.loop.now)

    def pass_time(self, seconds: float) -> None:
        self.loop.now += seconds
        self._settle()

    async def effect(self) -> None:
        """Around everything that lasts: here a process may stop."""
        self._effects += 1
        await _running.get().pass_by()

    def run(self, work: Coroutine[Any, Any, Any], stop: Stop | None = None) -> Process:
        """Runs an attempt until it has ended or stopped, and everything else that can go on meanwhile."""
        process = Process(stop)
        context = contextvars.copy_context()
        context.run(_running.set, process)
        process.task = self.loop.create_task(work, context=context)
        self._settle()
        if process.is_frozen:
            self.frozen.append(process)
        return process

    def go_on(self, process: Process) -> None:
        """A frozen process wakes and knows nothing of what has happened since."""
        self.frozen.remove(process)
        process.is_frozen = False
        process.let_go.set()
        self._settle()

    def kill(self, process: Process) -> None:
        process.is_dead = True
        self.go_on(process)

    def close(self) -> None:
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self._settle()
        self.loop.close()

    def _settle(self) -> None:
        self.loop.run_until_complete(self._until_quiet())

    async def _until_quiet(self) -> None:
        turns = 0
        # This is one of the living.
        while self.loop.living > 1 and turns < _QUIET:
            before = self._effects
            await asyncio.sleep(0)
            turns = 0 if self._effects != before else turns + 1
