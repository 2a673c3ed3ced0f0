"""What a broadcast does on every event bus: each process hears all that comes after it began to listen."""

from services.kit.events.port import Delivery, EventBus
from tests.contract.event_fixtures import Recorder, Stage, eventually


async def test_a_broadcast_reaches_every_process(stage: Stage, other_bus: EventBus):
    here, there = Recorder(), Recorder()

    async with (
        stage.consuming(here, delivery=Delivery.BROADCAST),
        stage.consuming(there, bus=other_bus, delivery=Delivery.BROADCAST),
    ):
        version = 0
        while not (here.handled and there.handled):
            version += 1
            await stage.publish("k", version)
        await stage.publish("k", 1_000_001, 1_000_002)
        await eventually(lambda: {here.versions[-1], there.versions[-1]} == {1_000_002}, "both get the last")

    assert here.versions[-2:] == there.versions[-2:] == [1_000_001, 1_000_002]
    assert here.versions == sorted(set(here.versions))


async def test_a_broadcast_begins_with_what_comes_after_it(stage: Stage):
    await stage.publish("k", *range(1, 50))
    seen = Recorder()

    async with stage.consuming(seen, delivery=Delivery.BROADCAST):
        version = 100
        while not seen.handled:
            version += 1
            await stage.publish("k", version)

    assert seen.versions[0] > 100


async def test_a_broadcast_passes_over_what_it_fails_on(stage: Stage):
    seen = Recorder(poison={1_000_002})

    async with stage.consuming(seen, delivery=Delivery.BROADCAST):
        version = 0
        while not seen.handled:
            version += 1
            await stage.publish("k", version)
        await stage.publish("k", 1_000_001, 1_000_002, 1_000_003)
        await eventually(lambda: seen.versions[-1] == 1_000_003, "the last arrives")

    assert seen.versions[-2:] == [1_000_001, 1_000_003]


async def test_a_broadcast_may_end_in_the_middle_of_a_stream(stage: Stage, other_bus: EventBus):
    for _ in range(20):
        here, there = Recorder(), Recorder()
        async with (
            stage.consuming(here, delivery=Delivery.BROADCAST),
            stage.consuming(there, bus=other_bus, delivery=Delivery.BROADCAST),
        ):
            version = 0
            while not (here.handled and there.handled):
                version += 1
                await stage.publish("k", version)

    assert here.versions == sorted(set(here.versions))
