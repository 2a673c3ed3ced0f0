"""What every event bus does with events that fail: halving, retries, dead letters and their replay."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from services.kit.errors import Unavailable
from services.kit.events import event_bus
from services.kit.events.port import Event, ReplayTooOld
from tests.contract.event_fixtures import Recorder, Stage, eventually, new_event, stage_on


async def test_a_failing_batch_is_halved_down_to_the_poison(stage: Stage):
    await stage.publish("k", 1, 2, 3, 4)
    seen = Recorder(poison={3})

    async with stage.consuming(seen):
        await eventually(lambda: len(seen.handled) == 3, "the others get through")

    assert [[event.aggregate_version for event in call] for call in seen.calls[:5]] == [[1, 2, 3, 4], [1, 2], [3, 4], [3], [4]]


async def test_a_partition_goes_on_behind_the_poison(stage: Stage):
    seen = Recorder(poison={1})

    async with stage.consuming(seen):
        await stage.publish("k", 1)
        await eventually(lambda: bool(seen.calls), "the poison is tried")
        await stage.publish("k", 2)
        await eventually(lambda: seen.versions == [2], "the next one gets through")


async def test_a_failed_event_is_tried_again_and_may_succeed(stage: Stage):
    await stage.publish("k", 1, 2)
    seen = Recorder(poison={1})

    async with stage.consuming(seen):
        await eventually(lambda: seen.versions == [2], "the other one gets through")
        seen.poison.clear()
        await eventually(lambda: seen.versions == [2, 1], "the failed one succeeds")
        await stage.acked()

    assert await stage.bus.dead_letters(stage.group) == []


async def test_an_event_that_fails_every_time_is_dead_lettered_with_its_last_error(stage: Stage):
    [event] = await stage.publish("k", 1)
    seen = Recorder(poison={1})

    async with stage.consuming(seen):
        await _died(stage)

    [letter] = await stage.bus.dead_letters(stage.group)
    assert (letter.group, letter.event, letter.error, letter.attempts) == (stage.group, event, "ValueError: cannot digest", 3)
    assert len(seen.calls) == 3


async def test_a_dead_letter_is_no_backlog(stage: Stage):
    await stage.publish("k", 1)

    async with stage.consuming(Recorder(poison={1})):
        await _died(stage)

    assert sum(part.waiting + part.retrying for part in await stage.bus.depth(stage.group)) == 0


async def test_a_failed_event_counts_as_retrying(bus_address: str):
    bus = event_bus(bus_address, retry_delays=[timedelta(minutes=15)])
    await bus.open()
    stage = await stage_on(bus)
    await stage.publish("k", 1, 2)
    seen = Recorder(poison={1})

    async def kept() -> list[tuple[int, int]]:
        return [(part.waiting, part.retrying) for part in await bus.depth(stage.group) if part.waiting or part.retrying]

    async with stage.consuming(seen), asyncio.timeout(10):
        # A broker counts each topic for itself: for a moment an event may be in neither count.
        while await kept() != [(0, 1)]:
            await asyncio.sleep(0.05)
    await bus.close()


async def test_a_replayed_event_is_handled(stage: Stage):
    await stage.publish("k", 1)
    seen = Recorder(poison={1})
    async with stage.consuming(seen):
        await _died(stage)
        seen.poison.clear()
        [letter] = await stage.bus.dead_letters(stage.group)

        assert await stage.bus.replay([letter.id]) == 1

        await eventually(lambda: seen.versions == [1], "the event is handled")
        await stage.acked()
    assert await stage.bus.dead_letters(stage.group) == []


async def test_a_replayed_event_that_fails_again_dies_again(stage: Stage):
    await stage.publish("k", 1)
    seen = Recorder(poison={1})
    async with stage.consuming(seen):
        await _died(stage)
        seen.error = ValueError("still cannot")
        await stage.bus.replay(group=stage.group)
        await _died(stage)

    [letter] = await stage.bus.dead_letters(stage.group)
    assert letter.error == "ValueError: still cannot"


async def test_a_replay_can_be_limited_to_a_group(stage: Stage):
    await stage.publish("k", 1)
    async with stage.consuming(Recorder(poison={1})):
        await _died(stage)

    assert await stage.bus.replay(group="another") == 0
    assert len(await stage.bus.dead_letters(stage.group)) == 1


async def test_a_replay_older_than_the_inbox_is_refused(stage: Stage):
    await _die_of_old_age(stage)

    with pytest.raises(ReplayTooOld):
        await stage.bus.replay(group=stage.group)

    assert len(await stage.bus.dead_letters(stage.group)) == 2


async def test_a_replay_older_than_the_inbox_can_be_forced(stage: Stage):
    await _die_of_old_age(stage)

    assert await stage.bus.replay(group=stage.group, force=True) == 2


async def test_a_batch_waits_while_a_dependency_is_away(stage: Stage):
    await stage.publish("k", 1, 2, 3)
    seen = Recorder(poison={2}, error=Unavailable("the database is away"))

    async with stage.consuming(seen):
        await eventually(lambda: len(seen.calls) == 2, "it is tried again")
        seen.poison.clear()
        await eventually(lambda: len(seen.handled) == 3, "all get through")

    assert [len(call) for call in seen.calls] == [3, 3, 3]
    assert seen.versions == [1, 2, 3]


async def test_a_handler_that_cancels_itself_fails_like_any_other(stage: Stage):
    await stage.publish("k", 1)

    async def cancelled(events: Sequence[Event]) -> None:
        raise asyncio.CancelledError

    async with stage.consuming(cancelled) as consuming:
        await _died(stage)
        assert not consuming.done()


async def _died(stage: Stage, letters: int = 1) -> None:
    async with asyncio.timeout(5):
        while len(await stage.bus.dead_letters(stage.group)) < letters:
            await asyncio.sleep(0.005)


async def _die_of_old_age(stage: Stage) -> None:
    """Two dead letters, one of them 15 days old."""
    old = new_event(stage.topic, "k", 1, occurred_at=datetime.now(UTC) - timedelta(days=15))
    await stage.bus.publish([old, new_event(stage.topic, "k", 2)])
    async with stage.consuming(Recorder(poison={1, 2})):
        await _died(stage, letters=2)
