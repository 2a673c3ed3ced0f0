"""What every event bus does, whichever engine is under it (services/kit/events/port.py)."""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from services.kit.events.port import Delivery, Event, EventBus, Topic, TopicChanged, UndeclaredTopic
from services.kit.ids import uuid7
from tests.contract.event_fixtures import HAPPENED, Recorder, Stage, eventually, new_event, stage_on


async def test_an_event_arrives_as_it_was_published(stage: Stage):
    sent = Event(
        id=uuid7(),
        topic=stage.topic,
        key="order-1",
        type="bazaar.orders.v1.OrderPlaced",
        subject="order-1",
        aggregate_version=2**40,
        payload=bytes(range(256)),
        source="orders",
        occurred_at=datetime(2025, 2, 3, 4, 5, 6, 789, UTC),
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
    )
    await stage.bus.publish([sent])
    seen = Recorder()

    async with stage.consuming(seen):
        await eventually(lambda: bool(seen.handled), "the event arrives")

    assert seen.handled == [sent]


async def test_events_of_a_key_arrive_in_order(stage: Stage):
    seen = Recorder()

    async with stage.consuming(seen, batch_size=7):
        for start in range(0, 100, 10):
            await stage.bus.publish([new_event(stage.topic, f"k{version % 5}", version) for version in range(start, start + 10)])
        await eventually(lambda: len(seen.handled) == 100, "all arrive")

    assert [seen.of_key(f"k{k}") for k in range(5)] == [list(range(k, 100, 5)) for k in range(5)]


async def test_a_batch_is_never_larger_than_asked_for(stage: Stage):
    await stage.bus.publish([new_event(stage.topic, f"k{version}", version) for version in range(50)])
    seen = Recorder()

    async with stage.consuming(seen, batch_size=3):
        await eventually(lambda: len(seen.handled) == 50, "all arrive")

    assert max(len(call) for call in seen.calls) <= 3


@pytest.mark.parametrize("delivery", [Delivery.KEYED, Delivery.SHARED])
async def test_a_subscription_gets_the_types_that_it_wants(stage: Stage, delivery: Delivery):
    seen = Recorder()

    async with stage.consuming(seen, delivery=delivery, types=["bazaar.test.v1.Ended", "bazaar.test.v1.Failed"]):
        for version, kind in enumerate(["Happened", "Ended", "Happened", "Failed", "Happened"]):
            await stage.bus.publish([new_event(stage.topic, "k", version, type=f"bazaar.test.v1.{kind}")])
        await eventually(lambda: len(seen.handled) == 2, "the wanted ones arrive")
        await stage.acked()

    assert [event.aggregate_version for event in seen.handled] == [1, 3]


async def test_what_fails_among_unwanted_events_is_tried_again(stage: Stage):
    seen = Recorder(poison={2})
    await stage.bus.publish(
        [new_event(stage.topic, "k", version, type=HAPPENED if version == 1 else "bazaar.test.v1.Ended") for version in (1, 2, 3)]
    )

    async with stage.consuming(seen, types=["bazaar.test.v1.Ended"]):
        await eventually(lambda: len(seen.handled) == 1, "the good one arrives")
        seen.poison.clear()
        await stage.acked()

    assert [event.aggregate_version for event in seen.handled] == [3, 2]


async def test_a_new_group_begins_with_the_oldest_event(stage: Stage):
    await stage.publish("k", 1, 2, 3)
    seen = Recorder()

    async with stage.consuming(seen):
        await eventually(lambda: len(seen.handled) == 3, "all arrive")

    assert seen.versions == [1, 2, 3]


async def test_a_group_goes_on_where_it_stopped(stage: Stage):
    before, after = Recorder(), Recorder()
    await stage.publish("k", 1, 2)
    async with stage.consuming(before):
        await eventually(lambda: len(before.handled) == 2, "both arrive")
        await stage.acked()
    await stage.publish("k", 3)

    async with stage.consuming(after):
        await eventually(lambda: len(after.handled) == 1, "the third arrives")

    assert after.versions == [3]


async def test_every_group_gets_every_event(stage: Stage):
    first, second = Recorder(), Recorder()

    async with stage.consuming(first, group=f"{stage.group}-a"), stage.consuming(second, group=f"{stage.group}-b"):
        await stage.publish("k", 1, 2, 3)
        await eventually(lambda: len(first.handled) == len(second.handled) == 3, "both groups get all")

    assert first.versions == second.versions == [1, 2, 3]


@pytest.mark.parametrize("delivery", [Delivery.KEYED, Delivery.SHARED])
async def test_members_of_a_group_share_the_work(stage: Stage, other_bus: EventBus, delivery: Delivery):
    here, there = Recorder(), Recorder()

    async with stage.consuming(here, delivery=delivery), stage.consuming(there, bus=other_bus, delivery=delivery):
        version = 0
        while not (here.handled and there.handled):
            version += 1
            await stage.publish(f"k{version}", version)
        await stage.acked()

    assert sorted(here.versions + there.versions) == list(range(1, version + 1))


async def test_one_publish_reaches_several_topics(bus: EventBus):
    first, second = await stage_on(bus), await stage_on(bus)
    seen_first, seen_second = Recorder(), Recorder()

    async with first.consuming(seen_first), second.consuming(seen_second):
        await bus.publish([new_event(first.topic, "k", 1), new_event(second.topic, "k", 2), new_event(first.topic, "k", 3)])
        await eventually(lambda: len(seen_first.handled) == 2 and len(seen_second.handled) == 1, "all arrive")

    assert (seen_first.versions, seen_second.versions) == ([1, 3], [2])


async def test_publishers_of_the_same_topics_neither_lose_events_nor_block_each_other(bus: EventBus, other_bus: EventBus):
    first, second = await stage_on(bus), await stage_on(bus)
    seen = Recorder()

    async def publish(publisher: EventBus, key: str) -> None:
        for version in range(30):
            # Each in another order of topics.
            topics = (first, second) if version % 2 else (second, first)
            await publisher.publish([new_event(stage.topic, key, version) for stage in topics])

    async with first.consuming(seen):
        await asyncio.gather(*(publish((bus, other_bus)[n % 2], f"k{n}") for n in range(6)))
        await eventually(lambda: len(seen.handled) == 180, "all arrive")

    assert [seen.of_key(f"k{n}") for n in range(6)] == [list(range(30))] * 6


async def test_a_topic_that_nobody_declared_is_refused_and_nothing_published(stage: Stage):
    with pytest.raises(UndeclaredTopic):
        await stage.bus.publish([new_event(stage.topic, "k", 1), new_event("nobody-declared-it", "k", 1)])

    seen = Recorder()
    async with stage.consuming(seen):
        await stage.publish("k", 2)
        await stage.acked()
        await eventually(lambda: bool(seen.handled), "the second arrives")
    assert seen.versions == [2]


async def test_a_topic_may_be_declared_again(stage: Stage):
    await stage.bus.declare([Topic(stage.topic, partitions=4, retention=timedelta(days=2))])


async def test_a_topic_keeps_its_number_of_partitions(stage: Stage):
    with pytest.raises(TopicChanged):
        await stage.bus.declare([Topic(stage.topic, partitions=5)])


async def test_a_consumer_may_begin_before_its_topic_is_declared(bus: EventBus):
    name = f"late-{uuid7()[-12:]}"
    stage, seen = Stage(bus, name, f"group-{name}"), Recorder()

    async with stage.consuming(seen):
        await bus.declare([Topic(name)])
        await stage.publish("k", 1)
        await eventually(lambda: seen.versions == [1], "the event arrives")


async def test_one_process_consumes_a_topic_once_for_a_group(stage: Stage):
    async with stage.consuming(Recorder()) as first:
        await asyncio.sleep(0)
        async with stage.consuming(Recorder()) as second:
            await asyncio.wait([second])
            assert isinstance(second.exception(), ValueError)
        assert not first.done()


async def test_what_a_cancelled_handler_held_comes_again(stage: Stage):
    await stage.publish("k", 1)
    begun = asyncio.Event()

    async def hang(events: Sequence[Event]) -> None:
        begun.set()
        await asyncio.Event().wait()

    async with stage.consuming(hang):
        await asyncio.wait_for(begun.wait(), 10)
    seen = Recorder()
    async with stage.consuming(seen):
        await eventually(lambda: seen.versions == [1], "the event comes again")


async def test_a_consumer_ends_though_its_handler_swallows_the_cancellation(stage: Stage):
    await stage.publish("k", 1)
    begun = asyncio.Event()

    async def swallow(events: Sequence[Event]) -> None:
        begun.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    async with stage.consuming(swallow) as consuming:
        await asyncio.wait_for(begun.wait(), 10)
        consuming.cancel()
        await asyncio.wait_for(asyncio.wait([consuming]), 5)
        assert consuming.done()


async def test_a_consumer_that_leaves_gives_its_partitions_back_at_once(stage: Stage, other_bus: EventBus):
    here, there = Recorder(), Recorder()
    async with stage.consuming(there, bus=other_bus):
        async with stage.consuming(here):
            version = 0
            while not (here.handled and there.handled):
                version += 1
                await stage.publish(f"k{version}", version)
            await stage.acked()
        left_at = time.monotonic()
        await stage.bus.publish([new_event(stage.topic, f"k{n}", 1000 + n) for n in range(100)])
        await eventually(lambda: len({version for version in there.versions if version >= 1000}) == 100, "the other takes over", 1.0)

    assert time.monotonic() - left_at < 1.0


async def test_the_depth_counts_what_is_published_and_not_acked(stage: Stage):
    held = asyncio.Event()

    async def hold(events: Sequence[Event]) -> None:
        await held.wait()

    async with stage.consuming(hold):
        await stage.publish("k", 1, 2, 3)
        while await stage.waiting() != 3:
            await asyncio.sleep(0.005)
        held.set()
        await stage.acked()

    assert await stage.waiting() == 0


async def test_20000_events_arrive_once_and_in_order_at_a_group_of_two(stage: Stage, other_bus: EventBus):
    here, there = Recorder(), Recorder()

    async with stage.consuming(here), stage.consuming(there, bus=other_bus):
        for start in range(0, 20_000, 500):
            await stage.bus.publish([new_event(stage.topic, f"k{version % 100}", version) for version in range(start, start + 500)])
        await eventually(lambda: len(here.handled) + len(there.handled) >= 20_000, "all arrive", 60)

    assert sorted(here.versions + there.versions) == list(range(20_000))
    for key in range(100):
        for recorder in (here, there):
            versions = recorder.of_key(f"k{key}")
            assert versions == sorted(versions)
