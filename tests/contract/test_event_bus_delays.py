"""How long every event bus keeps a failed event back."""

import asyncio
import time
from collections.abc import Sequence
from datetime import timedelta

import pytest

from services.kit.events import event_bus
from services.kit.events.port import LONGEST_DELAY, Event
from tests.contract.event_fixtures import eventually, stage_on


async def test_a_failed_event_is_not_tried_again_before_its_delay_is_over(bus_address: str):
    bus = event_bus(bus_address, retry_delays=[timedelta(seconds=1)])
    await bus.open()
    stage = await stage_on(bus)
    tried: list[float] = []

    async def fail_first(events: Sequence[Event]) -> None:
        tried.append(time.time())
        if len(tried) == 1:
            raise ValueError("not yet")

    async with stage.consuming(fail_first):
        await stage.publish("k", 1)
        await eventually(lambda: len(tried) == 2, "it is tried again")
        await stage.acked()

    assert tried[1] - tried[0] >= 1.0
    await bus.close()


async def test_an_event_may_be_kept_back_for_a_quarter_of_an_hour(bus_address: str):
    bus = event_bus(bus_address, retry_delays=[LONGEST_DELAY])
    await bus.open()
    stage = await stage_on(bus)

    async def fail(events: Sequence[Event]) -> None:
        raise ValueError("not now")

    async with stage.consuming(fail):
        await stage.publish("k", 1)
        async with asyncio.timeout(10):
            while [part.retrying for part in await bus.depth(stage.group) if part.retrying] != [1]:
                await asyncio.sleep(0.05)

    assert await bus.dead_letters(stage.group) == []
    await bus.close()


def test_no_longer_delay_is_promised(bus_address: str):
    with pytest.raises(ValueError, match="15 minutes"):
        event_bus(bus_address, retry_delays=[LONGEST_DELAY + timedelta(seconds=1)])
