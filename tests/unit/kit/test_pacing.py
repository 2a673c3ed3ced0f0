"""A pace lets the first turn begin at once, and the next an interval later."""

from __future__ import annotations

import asyncio

from services.kit.pacing import Pace


def begins_at_once(pace: Pace) -> bool:
    """Whether the next turn waits for nothing: no time is measured, since a busy machine would be taken for a wait."""
    turn = pace.turn()
    try:
        turn.send(None)
    except StopIteration:
        return True
    turn.close()
    return False


async def test_the_first_turn_begins_at_once():
    assert begins_at_once(Pace(10))


async def test_the_next_turn_begins_an_interval_after_the_one_before():
    loop, pace = asyncio.get_running_loop(), Pace(0.05)
    await pace.turn()
    began = loop.time()

    await pace.turn()

    assert loop.time() - began >= 0.049


async def test_after_a_rest_a_turn_begins_at_once():
    pace = Pace(0.03)
    await pace.turn()
    assert not begins_at_once(pace)

    await asyncio.sleep(0.05)

    assert begins_at_once(pace)


async def test_after_long_work_the_turn_lasts_four_times_as_long():
    loop, pace = asyncio.get_running_loop(), Pace(0.001)
    await pace.turn()
    began = loop.time()
    await asyncio.sleep(0.02)
    pace.done()

    await pace.turn()

    assert loop.time() - began >= 0.079


async def test_however_long_the_work_took_a_turn_has_an_end():
    pace = Pace(0.001)
    await pace.turn()
    await asyncio.sleep(0.45)

    pace.done()

    assert begins_at_once(pace)
