"""What the event bus's contract is told with: events, handlers that remember, and worker processes."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from services.kit.events.port import Delivery, Event, EventBus, Subscription, Topic
from services.kit.ids import uuid7

WORKER = Path(__file__).with_name("event_worker.py")
ROOT = Path(__file__).parents[2]


async def eventually(condition: Callable[[], bool], what: str, seconds: float = 10) -> None:
    """Waits until a condition holds.

    Raises:
        AssertionError: it doesn't in time.
    """
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, f"not within {seconds} s: {what}"
        await asyncio.sleep(0.005)


HAPPENED = "bazaar.test.v1.Happened"


def new_event(
    topic: str, key: str, version: int = 1, *, occurred_at: datetime | None = None, payload: bytes = b"\x0a\x01x", type: str = HAPPENED
) -> Event:
    return Event(
        id=uuid7(),
        topic=topic,
        key=key,
        type=type,
        subject=key,
        aggregate_version=version,
        payload=payload,
        source="test",
        occurred_at=occurred_at or datetime.now(UTC),
        traceparent="",
    )


@dataclass
class Recorder:
    """A handler that remembers its calls, and fails on the versions it is told to."""

    calls: list[list[Event]] = field(default_factory=list)
    handled: list[Event] = field(default_factory=list)
    poison: set[int] = field(default_factory=set)
    error: Exception = field(default_factory=lambda: ValueError("cannot digest"))

    async def __call__(self, events: Sequence[Event]) -> None:
        self.calls.append(list(events))
        if any(event.aggregate_version in self.poison for event in events):
            raise self.error
        self.handled.extend(events)

    @property
    def versions(self) -> list[int]:
        return [event.aggregate_version for event in self.handled]

    def of_key(self, key: str) -> list[int]:
        return [event.aggregate_version for event in self.handled if event.key == key]


@dataclass
class Stage:
    """A bus with a topic and a group of the test's own."""

    bus: EventBus
    topic: str
    group: str

    async def publish(self, key: str, *versions: int) -> list[Event]:
        events = [new_event(self.topic, key, version) for version in versions]
        await self.bus.publish(events)
        return events

    @asynccontextmanager
    async def consuming(
        self,
        handle: Callable[[Sequence[Event]], object],
        *,
        bus: EventBus | None = None,
        group: str | None = None,
        delivery: Delivery = Delivery.KEYED,
        batch_size: int = 500,
        types: Sequence[str] = (),
    ) -> AsyncIterator[asyncio.Task[None]]:
        """Consumes for the length of the block."""
        subscription = Subscription(self.topic, group or self.group, handle, delivery, batch_size, frozenset(types))  # type: ignore[arg-type]
        task = asyncio.create_task((bus or self.bus).consume(subscription))
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def waiting(self, group: str | None = None) -> int:
        return sum(part.waiting for part in await self.bus.depth(group or self.group))

    async def acked(self, group: str | None = None, seconds: float = 10) -> None:
        """Waits until the group has nothing to do."""
        give_up = time.monotonic() + seconds
        while left := [part for part in await self.bus.depth(group or self.group) if part.waiting or part.retrying]:
            assert time.monotonic() < give_up, f"the group still has work after {seconds} s: {left}"
            await asyncio.sleep(0.005)


async def stage_on(bus: EventBus, partitions: int = 4) -> Stage:
    name = f"t{uuid7()[-12:]}"
    await bus.declare([Topic(name, partitions)])
    return Stage(bus, name, f"group-{name}")


@dataclass
class Line:
    worker: str
    step: str
    key: str
    version: int


@dataclass
class Crew:
    """Worker processes with a journal."""

    url: str
    stage: Stage
    journal: Path
    batch_size: int = 20
    workers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    async def start(self, name: str, hold: str | None = None) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(WORKER), self.url, self.stage.topic, self.stage.group, str(self.journal), str(self.batch_size), name]
        if hold:
            command += ["--hold", hold]
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'generated/python'}"}
        worker = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment)  # noqa: ASYNC220 (a process starts at once)
        self.workers[name] = worker
        await eventually(lambda: f"{name} ready" in self.text(), f"{name} is ready", 30)
        return worker

    def stop_all(self) -> None:
        for worker in self.workers.values():
            if worker.poll() is None:
                worker.send_signal(signal.SIGCONT)
                worker.kill()
            worker.wait()

    async def stop(self, name: str) -> None:
        """Ends a worker, which does so cleanly."""
        self.workers[name].terminate()
        assert await asyncio.to_thread(self.workers[name].wait, 20) == 0

    def text(self) -> str:
        return self.journal.read_text() if self.journal.exists() else ""

    def lines(self, step: str, worker: str | None = None) -> list[Line]:
        return [line for line in self.all_lines() if line.step == step and worker in (None, line.worker)]

    def all_lines(self) -> list[Line]:
        words = [line.split() for line in self.text().splitlines()]
        return [Line(worker, step, key, int(version)) for worker, step, key, version in (line for line in words if len(line) == 4)]
