"""Moving events from PostgreSQL to Pulsar: what the groups of the one had to do, those of the other do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from services.kit.events import event_bus
from services.kit.events.departure import Departure
from services.kit.events.moving import moving
from services.kit.events.port import EventBus
from services.kit.events.postgres_bus import MIGRATIONS
from services.kit.events.pulsar.arrival import Arrival
from services.kit.ids import uuid7
from services.kit.migrations import migrate
from tests.contract.event_fixtures import Recorder, Stage, eventually, stage_on
from tests.pulsar import Broker

pytestmark = pytest.mark.pulsar
SOON, LATE = timedelta(milliseconds=10), timedelta(minutes=10)


class Died(Exception):
    """The mover did."""


@dataclass
class Trip:
    """Both buses, and the addresses that a mover takes."""

    source: str
    target: str
    old: Stage
    new: Stage

    async def move(self) -> None:
        async with moving(self.source, self.target) as move:
            await move.copy_worked()
            await move.close()
            await move.copy_rest()
            await move.leave()

    async def handled(self, count: int, group: str | None = None) -> Recorder:
        """What a group of the new bus gets, in order."""
        recorder = Recorder()
        async with self.new.consuming(recorder, group=group):
            await eventually(lambda: len(recorder.handled) >= count, f"{count} events have come")
            await self.new.acked(group)
        return recorder


@pytest.fixture
async def trip(database_url: str, pulsar: Broker) -> AsyncIterator[Trip]:
    await migrate(database_url, [("events", MIGRATIONS)])
    target = pulsar.admin_url().replace("/shop", f"/{uuid7()[-12:]}")
    old, new = event_bus(database_url, retry_delays=[SOON, LATE]), event_bus(target, retry_delays=[SOON, LATE])
    await asyncio.gather(old.open(), new.open())
    stage = await stage_on(old)
    yield Trip(database_url, target, stage, Stage(new, stage.topic, stage.group))
    await asyncio.gather(old.close(), new.close())


async def worked(stage: Stage, recorder: Recorder, group: str | None = None) -> None:
    """Has a group work off what is there."""
    async with stage.consuming(recorder, group=group):
        await known(stage, group)
        await stage.acked(group)


async def known(stage: Stage, group: str | None = None) -> None:
    """Waits until the bus knows the group."""
    while not await stage.bus.depth(group or stage.group):
        await asyncio.sleep(0.01)


async def failures(bus: EventBus, group: str) -> tuple[int, list[tuple[int, int, str]]]:
    """How many events of a group wait for another try; version, attempts and error of its dead letters."""
    retrying = sum(part.retrying for part in await bus.depth(group))
    return retrying, [(letter.event.aggregate_version, letter.attempts, letter.error) for letter in await bus.dead_letters(group)]


async def test_what_nobody_has_worked_comes_in_order(trip: Trip):
    for key in ("a", "b", "c"):
        await trip.old.publish(key, *range(1, 1501))
    async with trip.old.consuming(Recorder(error=ConnectionError("away"), poison={1})):
        await known(trip.old)

    await trip.move()

    recorder = await trip.handled(4500)
    assert [recorder.of_key(key) for key in ("a", "b", "c")] == [list(range(1, 1501))] * 3


async def test_events_are_what_they_were(trip: Trip):
    [event] = await trip.old.publish("a", 7)

    await trip.move()

    assert (await trip.handled(1)).handled == [event]


async def test_nothing_stays_behind(trip: Trip):
    await trip.old.publish("a", 1, 2)
    await worked(trip.old, Recorder())
    await trip.old.publish("a", 3)

    await trip.move()

    assert await trip.old.waiting() == 0
    async with await psycopg.AsyncConnection.connect(trip.source) as connection:
        assert await (await connection.execute("SELECT count(*) FROM log")).fetchone() == (0,)


async def test_groups_begin_where_the_last_of_them_stands(trip: Trip):
    ahead, behind = Recorder(), Recorder()
    await trip.old.publish("a", 1, 2)
    await asyncio.gather(worked(trip.old, ahead, "ahead"), worked(trip.old, behind, "behind"))
    await trip.old.publish("a", 3, 4)
    await worked(trip.old, ahead, "ahead")

    await trip.move()

    assert (await trip.handled(2, "behind")).of_key("a") == [3, 4]
    # Its inbox knows them.
    assert (await trip.handled(2, "ahead")).of_key("a") == [3, 4]


async def test_history_comes_along_for_who_goes_back_to_it(trip: Trip):
    await trip.old.publish("a", 1, 2)
    await worked(trip.old, Recorder())

    await trip.move()
    await trip.new.bus.rewind(trip.new.topic, trip.new.group, datetime.now(UTC) - timedelta(days=1))

    assert (await trip.handled(2)).of_key("a") == [1, 2]


async def test_a_group_with_nothing_to_do_has_nothing_to_do(trip: Trip):
    await trip.old.publish("a", 1, 2)
    await worked(trip.old, Recorder())

    await trip.move()
    await trip.new.publish("a", 3)

    assert (await trip.handled(1)).of_key("a") == [3]


async def test_what_waits_for_another_try_goes_on_waiting(trip: Trip):
    await trip.old.publish("a", 1)
    await failed_twice(trip)

    await trip.move()

    assert await failures(trip.new.bus, trip.new.group) == (1, [])
    assert await failures(trip.old.bus, trip.old.group) == (0, [])


async def failed_twice(trip: Trip) -> None:
    """Waits until the group has failed at version 1 twice, so that the third try is ten minutes off."""
    async with moving_out(trip) as departure, trip.old.consuming(Recorder(poison={1})):
        while [each.attempts async for batch in departure.failures() for each in batch] != [2]:
            await asyncio.sleep(0.01)


@asynccontextmanager
async def moving_out(trip: Trip) -> AsyncIterator[Departure]:
    departure = Departure(trip.source)
    await departure.open()
    yield departure
    await departure.close()


async def test_a_retry_brings_its_attempts_and_dies_of_its_last(trip: Trip):
    await trip.old.publish("a", 1)
    await failed_twice(trip)
    async with await psycopg.AsyncConnection.connect(trip.source, autocommit=True) as connection:
        await connection.execute("UPDATE failures SET due_at = now()")

    await trip.move()

    async with trip.new.consuming(Recorder(poison={1})):
        while (await failures(trip.new.bus, trip.new.group))[0]:
            await asyncio.sleep(0.05)
    assert await failures(trip.new.bus, trip.new.group) == (0, [(1, 3, "ValueError: cannot digest")])


async def given_up(trip: Trip) -> None:
    """Waits until the group has given version 1 up, after two attempts."""
    bus = event_bus(trip.source, retry_delays=[SOON])
    await bus.open()
    async with trip.old.consuming(Recorder(poison={1}), bus=bus):
        while not await bus.dead_letters():
            await asyncio.sleep(0.01)
    await bus.close()


async def test_dead_letters_stay_dead_with_their_attempts_and_error(trip: Trip):
    [event] = await trip.old.publish("a", 1)
    await given_up(trip)

    await trip.move()

    assert await failures(trip.new.bus, trip.new.group) == (0, [(1, 2, "ValueError: cannot digest")])
    assert await trip.new.bus.replay() == 1
    assert (await trip.handled(1)).handled == [event]
    assert await trip.old.bus.dead_letters() == []


async def test_a_mover_that_dies_between_copy_and_note_is_run_again(trip: Trip, monkeypatch: pytest.MonkeyPatch):
    await trip.old.publish("a", *range(1, 2501))
    async with trip.old.consuming(Recorder(error=ConnectionError("away"), poison={1})):
        await known(trip.old)
    note, noted = Departure.note, list[int]()

    async def die_of_the_second(self: Departure, partition: int, moved: int) -> None:
        noted.append(moved)
        if len(noted) == 2:
            raise Died
        await note(self, partition, moved)

    with monkeypatch.context() as patched:
        patched.setattr(Departure, "note", die_of_the_second)
        with pytest.raises(Died):
            await trip.move()
    await trip.move()

    versions = (await trip.handled(3500)).of_key("a")
    assert versions == [*range(1, 2001), *range(1001, 2501)]


async def test_a_dead_letter_that_is_copied_twice_is_there_once(trip: Trip, monkeypatch: pytest.MonkeyPatch):
    await trip.old.publish("a", 1)
    await given_up(trip)

    async def die(self: Departure) -> None:
        raise Died

    with monkeypatch.context() as patched:
        patched.setattr(Departure, "leave", die)
        with pytest.raises(Died):
            await trip.move()
    await trip.move()

    assert await failures(trip.new.bus, trip.new.group) == (0, [(1, 2, "ValueError: cannot digest")])


async def test_postgres_goes_on_after_a_mover_that_died_and_the_next_one_takes_the_rest(trip: Trip, monkeypatch: pytest.MonkeyPatch):
    recorder = Recorder()
    await trip.old.publish("a", 1, 2)
    await worked(trip.old, recorder)

    async def die(self: Arrival) -> None:
        raise Died

    with monkeypatch.context() as patched:
        patched.setattr(Arrival, "dead", die)
        with pytest.raises(Died):
            await trip.move()
    async with moving(trip.source, trip.target) as move:
        await move.reopen()
    await trip.old.publish("a", 3)
    await worked(trip.old, recorder)
    await trip.old.publish("a", 4)

    await trip.move()

    assert recorder.of_key("a") == [1, 2, 3]
    # The third again: it was copied for a group that the first mover had made.
    assert (await trip.handled(2)).of_key("a") == [3, 4]


async def test_a_group_that_was_set_back_between_two_movers_has_it_all_again(trip: Trip):
    await trip.old.publish("a", 1, 2)
    await worked(trip.old, Recorder())
    async with moving(trip.source, trip.target) as move:
        await move.copy_worked()
    await trip.old.bus.rewind(trip.old.topic, trip.old.group, datetime.now(UTC) - timedelta(days=1))

    await trip.move()

    assert (await trip.handled(2)).of_key("a") == [1, 2]


async def test_it_tells_how_much_is_done(trip: Trip):
    await trip.old.publish("a", *range(1, 1201))
    told: list[int] = []
    async with moving(trip.source, trip.target, told.append) as move:
        await move.copy_worked()

    assert told == [1000, 200]
