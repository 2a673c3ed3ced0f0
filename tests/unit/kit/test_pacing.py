"""A pace lets the first turn begin at once, and the next an interval later."""

from __future__ import annotations

import asyncio

from services.kit.pacing import Pace


async def test_the_first_turn_begins_at_once():
    loop = asyncio.get_running_loop()
    before = loop.time()

    await Pace(10).turn()

    assert loop.time() - before < 1


async def test_the_next_turn_begins_an_interval_after_the_one_before():
    loop, pace = asyncio.get_running_loop(), Pace(0.05)
    await pace.turn()
    began = loop.time()

    await pace.turn()

    assert loop.time() - began >= 0.049


async def test_after_a_rest_a_turn_begins_at_once():
    loop, pace = asyncio.get_running_loop(), Pace(0.5)
    await pace.turn()
    await asyncio.sleep(0.6)
    rested = loop.time()

    await pace.turn()

    assert loop.time() - rested < 0.5
