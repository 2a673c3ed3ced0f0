"""What every event bus does when the processes that consume come, go, die and freeze."""

import asyncio
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from subprocess import Popen

import pytest

from services.kit.events.port import EventBus
from tests.contract.event_fixtures import Crew, Line, Recorder, Stage, eventually, new_event, stage_on

KEYS = [f"k{n}" for n in range(16)]
TAKEOVER_SECONDS = 3.0


@pytest.fixture
async def wide_stage(bus: EventBus) -> Stage:
    return await stage_on(bus, partitions=8)


@pytest.fixture
def crew(bus_address: str, wide_stage: Stage, tmp_path: Path) -> Iterator[Crew]:
    crew = Crew(bus_address, wide_stage, tmp_path / "journal")
    yield crew
    crew.stop_all()


class Stream:
    """Publishes to all keys, one version after the other, until told to stop."""

    def __init__(self, stage: Stage) -> None:
        self.version = 0
        self._stage = stage
        self._is_on = True
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while self._is_on:
            self.version += 1
            await self._stage.bus.publish([new_event(self._stage.topic, key, self.version) for key in KEYS])
            await asyncio.sleep(0.005)

    async def end(self) -> None:
        self._is_on = False
        await self._task


async def test_keys_stay_in_order_while_processes_come_go_and_die(crew: Crew, wide_stage: Stage):
    await crew.start("first")
    stream = Stream(wide_stage)
    await crew.start("second")
    await _works(crew, "second")
    await crew.start("third")
    await _works(crew, "third")
    crew.workers["first"].kill()
    await crew.stop("second")
    await crew.start("fourth")
    await _works(crew, "fourth")
    await stream.end()
    await wide_stage.acked(seconds=20)

    lines = crew.lines("end")
    for key in KEYS:
        assert _first_seen(lines, key) == list(range(1, stream.version + 1))


async def test_no_key_is_with_two_processes_at_once_while_they_come_and_go(crew: Crew, wide_stage: Stage):
    await crew.start("first")
    stream = Stream(wide_stage)
    await crew.start("second")
    await _works(crew, "second")
    await crew.stop("first")
    await crew.start("third")
    await _works(crew, "third")
    await stream.end()
    await wide_stage.acked(seconds=20)

    lines = crew.all_lines()
    assert len(lines) >= 2 * len(KEYS) * stream.version
    assert not any(_is_shared_at_once(lines, key) for key in KEYS)


async def test_a_killed_process_has_its_events_done_by_another(crew: Crew, wide_stage: Stage):
    await crew.start("victim", hold="k1")
    await wide_stage.publish("k1", 1)
    await eventually(lambda: bool(crew.lines("begin", "victim")), "the victim holds the event")
    await crew.start("heir")

    killed_at = time.monotonic()
    crew.workers["victim"].kill()
    await eventually(lambda: bool(crew.lines("end", "heir")), "the heir does it", TAKEOVER_SECONDS)

    assert time.monotonic() - killed_at <= TAKEOVER_SECONDS
    assert [(line.key, line.version) for line in crew.lines("end", "heir")] == [("k1", 1)]
    await wide_stage.acked()


async def test_a_frozen_process_has_its_events_done_by_another(crew: Crew, wide_stage: Stage):
    frozen = await crew.start("frozen", hold="k1")
    await wide_stage.publish("k1", 1)
    await eventually(lambda: bool(crew.lines("begin", "frozen")), "the frozen one holds the event")
    await crew.start("heir")

    frozen.send_signal(signal.SIGSTOP)
    await eventually(lambda: bool(crew.lines("end", "heir")), "the heir does it", TAKEOVER_SECONDS)

    assert [(line.key, line.version) for line in crew.lines("end", "heir")] == [("k1", 1)]
    await wide_stage.acked()


# On Pulsar an ack says that the work is done, whoever says it.
@pytest.mark.parametrize("bus_address", ["postgres"], indirect=True)
async def test_a_frozen_process_that_wakes_cannot_ack(crew: Crew, wide_stage: Stage):
    frozen = await crew.start("frozen", hold="k1")
    await wide_stage.publish("k1", 1)
    await eventually(lambda: bool(crew.lines("begin", "frozen")), "the frozen one holds the event")
    frozen.send_signal(signal.SIGSTOP)
    successor = await crew.start("successor", hold="k1")
    await eventually(lambda: bool(crew.lines("begin", "successor")), "the event comes to another", TAKEOVER_SECONDS)

    frozen.send_signal(signal.SIGCONT)
    _let_go(frozen)
    await _acks_something_else(crew, wide_stage, "frozen")

    # Had its ack counted, the event would not come again after the successor's death.
    successor.kill()
    await eventually(lambda: len([line for line in crew.lines("begin", "frozen") if line.key == "k1"]) == 2, "it comes again")
    _let_go(frozen)
    await wide_stage.acked()


async def test_a_process_that_ends_cleanly_is_replaced_at_once(crew: Crew, wide_stage: Stage):
    await crew.start("leaver")
    await wide_stage.publish("k1", 1)
    await eventually(lambda: bool(crew.lines("end", "leaver")), "it works")
    seen = Recorder()

    async with wide_stage.consuming(seen):
        await crew.stop("leaver")
        left_at = time.monotonic()
        await wide_stage.bus.publish([new_event(wide_stage.topic, key, 2) for key in KEYS])
        await eventually(lambda: len(seen.handled) == len(KEYS), "the other does it all", 1.0)

    assert time.monotonic() - left_at < 1.0


async def _works(crew: Crew, worker: str) -> None:
    await eventually(lambda: bool(crew.lines("end", worker)), f"{worker} works", 20)


async def _acks_something_else(crew: Crew, stage: Stage, worker: str) -> None:
    """Waits until the worker is past the ack of what it held: it does one batch at a time."""
    version = 100
    while not any(line.version > 100 for line in crew.lines("end", worker)):
        version += 1
        await stage.bus.publish([new_event(stage.topic, key, version) for key in KEYS if key != "k1"])
        await asyncio.sleep(0.02)


def _let_go(worker: Popen[bytes]) -> None:
    assert worker.stdin is not None
    worker.stdin.write(b"\n")
    worker.stdin.flush()


def _first_seen(lines: list[Line], key: str) -> list[int]:
    """Versions in the order in which they were done for the first time; repeats are a consumer's to expect."""
    return list(dict.fromkeys(line.version for line in lines if line.key == key))


def _is_shared_at_once(lines: list[Line], key: str) -> bool:
    """Whether one process began with a key while another was not done with it."""
    at_work: set[tuple[str, int]] = set()
    for line in lines:
        if line.key != key:
            continue
        if any(worker != line.worker for worker, _ in at_work):
            return True
        if line.step == "begin":
            at_work.add((line.worker, line.version))
        else:
            at_work.discard((line.worker, line.version))
    return False
