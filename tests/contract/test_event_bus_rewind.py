"""What every event bus does when a group is to have events again from a time on."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from services.kit.events.port import ReplayTooOld
from tests.contract.event_fixtures import Recorder, Stage, eventually


async def test_a_group_can_be_set_back_to_a_time(stage: Stage):
    seen = Recorder()
    async with stage.consuming(seen):
        await stage.publish("k", 1, 2)
        await eventually(lambda: len(seen.handled) == 2, "the first two arrive")
        await stage.acked()
        await asyncio.sleep(0.01)
        time_between = datetime.now(UTC)
        await stage.publish("k", 3, 4)
        await eventually(lambda: len(seen.handled) == 4, "the others arrive")
        await stage.acked()

        await stage.bus.rewind(stage.topic, stage.group, time_between)

        await eventually(lambda: len(seen.handled) == 6, "the others come again")
        await stage.acked()
    assert seen.versions == [1, 2, 3, 4, 3, 4]


async def test_setting_back_passes_over_nothing_that_waits(stage: Stage):
    seen = Recorder()
    async with stage.consuming(seen):
        await stage.publish("k", 1)
        await eventually(lambda: seen.versions == [1], "the first arrives")
        await stage.acked()
    await stage.publish("k", 2)
    await asyncio.sleep(0.01)

    await stage.bus.rewind(stage.topic, stage.group, datetime.now(UTC))

    async with stage.consuming(seen):
        await eventually(lambda: seen.versions == [1, 2], "the second arrives all the same")


async def test_a_group_is_not_set_back_further_than_the_inbox_remembers(stage: Stage):
    with pytest.raises(ReplayTooOld):
        await stage.bus.rewind(stage.topic, stage.group, datetime.now(UTC) - timedelta(days=15))
