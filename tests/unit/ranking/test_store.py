import asyncio
import random
from datetime import timedelta

import psycopg
import pytest

from services.ranking.model import Line, RebuildInProgress, add_up
from tests.ranked import HOUR, Ranked, back, line
from tests.unit.rivals import meet, waiting

LOCK = "SELECT * FROM roots WHERE root = ANY (%s::text[]) FOR UPDATE"


async def positions(worker: Ranked, root: str = "garden") -> list[int]:
    rows = await worker.rows("SELECT position FROM lines WHERE generation = 1 AND root = %s ORDER BY position", root)
    return [row["position"] for row in rows]


async def test_lines_take_the_next_positions_of_their_root_without_gaps(worker: Ranked):
    first = await worker.store.add([line("a"), line("b", category_id="kitchen"), line("c")])
    second = await worker.store.add([line("d")])

    assert [(added.root, added.before, added.after) for added in first + second] == [("garden", 0, 2), ("kitchen", 0, 1), ("garden", 2, 3)]
    assert (await positions(worker), await worker.store.positions(1)) == ([1, 2, 3], {"garden": 3, "kitchen": 1})


async def test_lines_come_back_as_they_were_added_in_order(worker: Ranked):
    lines = [line("b", 2, currency="USD"), line("a", minute=60 * (HOUR - 40)), line("é", 10**9, net_amount=10**14)]
    await worker.store.add(lines)

    assert await worker.store.lines_between(1, "garden", 0, 3) == lines
    assert await worker.store.lines_between(1, "garden", 1, 2) == lines[1:2]


async def test_a_line_that_comes_again_falls_out(worker: Ranked):
    saw, axe = line("saw"), line("axe")
    await worker.store.add([saw])

    [added] = await worker.store.add([axe, saw])

    assert (added.before, added.lines, await positions(worker)) == (1, [axe], [1, 2])


async def test_a_line_twice_in_one_batch_counts_once(worker: Ranked):
    saw, axe = line("saw"), line("axe")

    [added] = await worker.store.add([saw, axe, saw])

    assert (added.lines, await positions(worker)) == ([saw, axe], [1, 2])


async def test_only_repeats_give_the_root_and_no_lines(worker: Ranked):
    saw = line("saw")
    await worker.store.add([saw])

    [added] = await worker.store.add([saw])

    assert (added.root, added.before, added.after, added.lines) == ("garden", 1, 1, [])


async def test_a_repeat_falls_out_in_another_process(worker: Ranked, rival: Ranked):
    saw = line("saw")
    await worker.store.add([saw])

    [added] = await rival.store.add([saw])

    assert added.lines == []


async def test_placing_and_taking_back_are_two_lines(worker: Ranked):
    saw = line("saw")

    [added] = await worker.store.add([back(saw), saw])

    assert added.lines == [back(saw), saw]


async def test_no_lines_add_nothing(worker: Ranked):
    assert await worker.store.add([]) == []


async def test_a_line_that_cannot_be_stored_adds_nothing(worker: Ranked):
    with pytest.raises(psycopg.DataError):
        await worker.store.add([line("saw"), line("axe", order_id="not-an-id")])

    assert await worker.store.positions(1) == {}


async def test_two_processes_adding_to_one_root_share_its_positions(worker: Ranked, rival: Ranked):
    await worker.store.add([line()])

    found = await meet(worker.database, LOCK, [["garden"]], worker.store.add([line(), line()]), rival.store.add([line(), line(), line()]))

    assert sorted((added.after - added.before) for [added] in found) == [2, 3]
    assert await positions(worker) == [1, 2, 3, 4, 5, 6]


async def test_two_processes_adding_the_same_lines_count_them_once(worker: Ranked, rival: Ranked):
    await worker.store.add([line()])
    saws = [line("saw"), line("saw")]

    found = await meet(worker.database, LOCK, [["garden"]], worker.store.add(saws), rival.store.add(saws[::-1]))

    assert sorted(len(added.lines) for [added] in found) == [0, 2]
    assert await positions(worker) == [1, 2, 3]


async def test_roots_in_opposite_order_are_locked_in_one_order(worker: Ranked, rival: Ranked):
    garden, kitchen = line(category_id="garden"), line(category_id="kitchen")
    await worker.store.add([garden, kitchen])

    found = await meet(
        worker.database,
        LOCK,
        [["garden"]],
        worker.store.add([line(category_id="kitchen"), line(category_id="garden")]),
        rival.store.add([line(category_id="garden"), line(category_id="kitchen")]),
    )

    assert [len(added) for added in found] == [2, 2]
    assert await worker.store.positions(1) == {"garden": 3, "kitchen": 3}


async def test_overlapping_roots_old_and_new_never_deadlock(worker: Ranked, rival: Ranked):
    choice = random.Random(7)
    lines: list[Line] = []

    async def add(process: Ranked) -> None:
        for _ in range(40):
            roots = choice.sample([f"root-{number}" for number in range(12)], 4)
            batch = [line(category_id=root) for root in roots]
            lines.extend(batch)
            await process.store.add(batch)

    await asyncio.gather(add(worker), add(rival), add(worker), add(rival))

    for root, last in (await worker.store.positions(1)).items():
        assert await positions(worker, root) == [*range(1, last + 1)]
    assert len(await worker.rows("SELECT FROM lines")) == len(lines) == 640


async def test_lines_go_to_the_live_version_and_the_one_being_built(worker: Ranked):
    building = await worker.versions.open(timedelta(minutes=2))

    found = await worker.store.add([line()])

    assert [(added.generation, added.is_live, added.before, added.after) for added in found] == [(1, True, 0, 1), (building, False, 0, 1)]


async def test_a_version_is_not_opened_while_lines_are_added_to_those_known_before(worker: Ranked, rival: Ranked):
    await worker.store.add([line()])
    async with worker.database.transaction() as tx:
        await tx.execute(LOCK, [["garden"]])
        [adding] = await waiting(worker.database, worker.store.add([line()]))
        both = await waiting(worker.database, adding, rival.versions.open(timedelta(minutes=2)))
    added, building = await asyncio.gather(*both)

    assert ([item.generation for item in added], building) == ([1], 2)


async def test_a_rebuild_that_was_replaced_adds_nothing(worker: Ranked):
    building = await worker.versions.open(timedelta(minutes=2))
    await worker.versions.give_up(building)

    with pytest.raises(RebuildInProgress):
        await worker.store.add_to(building, [line()])


async def test_sums_go_up_to_a_position_and_keep_to_their_minutes(worker: Ranked):
    lines = [line("a", minute=7), line("a", minute=8), line("b", 2, minute=9), line("b", 3, minute=9)]
    await worker.store.add(lines)

    def summed(some: list[Line]) -> dict:
        return add_up([each._replace(minute=0) for each in some])

    assert await worker.store.sums(1, "garden", upto=3) == summed(lines[:3])
    assert await worker.store.sums(1, "garden", upto=4, after=7) == summed(lines[1:])
    assert await worker.store.sums(1, "garden", upto=4, after=6, until=8) == summed(lines[:2])


async def test_missing_lines_are_those_that_are_not_there_exactly_so(worker: Ranked):
    there, changed, away = line("a"), line("b", 2), line("c")
    await worker.store.add([there, changed])
    wanted = [there, changed._replace(quantity=3), away, back(there)]

    assert set(await worker.store.missing(1, wanted)) == set(wanted[1:])


async def test_other_lines_are_those_of_the_orders_in_between_that_were_not_given(worker: Ranked):
    ids = [f"00000000-0000-0000-0000-{number:012}" for number in range(5)]
    lines = [line(order_id=order_id) for order_id in ids]
    await worker.store.add([*lines, line(order_id=ids[2], line_number=2, category_id="kitchen")])

    others = await worker.store.others(1, [lines[1]], after=ids[0], upto=ids[3], root="garden")
    everywhere = await worker.store.others(1, [], after=ids[1], upto=ids[2])

    assert set(others) == {lines[2], lines[3]}
    assert {other.root for other in everywhere} == {"garden", "kitchen"}


async def test_a_line_without_a_minute_is_of_the_start_of_its_hour(worker: Ranked):
    saw = line("saw", minute=60 * HOUR + 29)
    await worker.store.add([saw])
    await worker.execute("UPDATE lines SET minute = NULL")

    assert await worker.store.lines_between(1, "garden", 0, 1) == [saw._replace(minute=60 * HOUR)]


async def test_a_line_without_a_minute_is_the_one_of_the_log_in_that_hour(worker: Ranked):
    saw = line("saw", minute=60 * HOUR + 29)
    later = saw._replace(minute=60 * HOUR + 60)
    await worker.store.add([saw])
    await worker.execute("UPDATE lines SET minute = NULL")

    assert [await worker.store.missing(1, [each]) for each in (saw, later)] == [[], [later]]
    everywhere = {"after": "00000000-0000-0000-0000-000000000000", "upto": "ffffffff-ffff-ffff-ffff-ffffffffffff"}
    assert await worker.store.others(1, [saw], **everywhere) == []
    assert len(await worker.store.others(1, [later], **everywhere)) == 1
