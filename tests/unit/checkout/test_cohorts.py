import asyncio

from services.checkout import cohorts
from services.checkout.cohorts import Cohort, Gate


async def rounds(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def enter(gate: Gate, callers: int) -> list[asyncio.Task[Cohort]]:
    """Tasks of callers that came at the same time and got as far as they could."""
    tasks = [asyncio.create_task(gate.enter()) for _ in range(callers)]
    await rounds()
    return tasks


def let_in(tasks: list[asyncio.Task[Cohort]]) -> int:
    return sum(task.done() and not task.cancelled() for task in tasks)


async def test_who_finds_nobody_on_the_way_waits_for_nothing():
    assert let_in(await enter(Gate(), 1)) == 1


async def test_those_who_come_together_are_one_cohort():
    tasks = await enter(Gate(), 3)

    assert {id(task.result()) for task in tasks} == {id(tasks[0].result())}
    assert tasks[0].result().size == 3


async def test_while_a_cohort_is_on_its_way_the_next_gathers():
    gate = Gate()
    [first] = await enter(gate, 1)
    later = await enter(gate, 2) + await enter(gate, 3)
    assert let_in(later) == 0

    first.result().leave()
    await rounds()

    assert let_in(later) == 5
    assert later[0].result().size == 5


async def test_a_cohort_is_waited_for_until_its_last_has_left():
    gate = Gate()
    first, second = await enter(gate, 2)
    later = await enter(gate, 1)
    first.result().leave()
    await rounds()
    assert let_in(later) == 0

    second.result().leave()
    await rounds()

    assert let_in(later) == 1


async def test_nobody_waits_long_for_a_straggler():
    gate = Gate()
    await enter(gate, 1)

    async with asyncio.timeout(5):
        await gate.enter()


async def test_so_many_are_inside_at_once_and_who_leaves_makes_room():
    gate = Gate()
    tasks = await enter(gate, cohorts.AT_ONCE + 2)
    assert let_in(tasks) == cohorts.AT_ONCE

    tasks[0].result().leave()
    async with asyncio.timeout(5):
        await tasks[cohorts.AT_ONCE]

    assert let_in(tasks) == cohorts.AT_ONCE + 1


async def test_who_leaves_the_line_is_not_let_in():
    gate = Gate()
    [first] = await enter(gate, 1)
    gone, stays = await enter(gate, 2)
    gone.cancel()
    first.result().leave()
    await rounds()

    assert (gone.cancelled(), stays.result().size) == (True, 1)


async def test_who_is_cancelled_when_just_let_in_holds_nobody_up():
    gate = Gate()
    [first] = await enter(gate, 1)
    [gone] = await enter(gate, 1)
    [stays] = await enter(gate, 1)
    first.result().leave()
    await asyncio.sleep(0)  # the gate opens: both have a place, and neither has run since
    gone.cancel()
    await rounds()

    assert (gone.cancelled(), stays.result().size) == (True, 1)
