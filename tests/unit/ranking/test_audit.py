"""Verify finds what is wrong and nothing else; a rebuild changes no answer."""

import asyncio
import random
from datetime import timedelta
from uuid import uuid4

import pytest

from services.ranking import audit as audit_module
from services.ranking.model import ROLLING, Difference, Line, RebuildInProgress, Window
from tests.ranked import HOUR, OrderLog, Ranked, back, every_query, line, query, recount
from tests.unit.ranking.shopping import shopping


@pytest.fixture
def lines() -> list[Line]:
    return shopping(random.Random(31), 120)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What differs is reported, and old versions are dropped, without much waiting."""
    monkeypatch.setattr(audit_module, "SETTLE_SECONDS", 0.3)
    monkeypatch.setattr(audit_module, "GOOD_FOR_SECONDS", 0.01)


async def verified(worker: Ranked, lines: list[Line], root: str = "") -> tuple[int, set[Difference]]:
    report = await worker.audit(OrderLog(lines)).verify(root)
    assert len(report.differences) == len(set(report.differences))
    return report.lines_counted, set(report.differences)


async def board(worker: Ranked, name: str) -> str:
    """The key of a board of the garden."""
    prefix = await worker.redis.hget("rank:{garden}:1:head", "board")
    return f"{prefix.decode()}:{name}"


async def test_nothing_differs_where_all_is_well(worker: Ranked, lines: list[Line]):
    await worker.count(*lines[:70])
    await worker.roll_up()
    await worker.count(*lines[70:])

    assert await verified(worker, lines) == (len(lines), set())


async def test_one_root_is_verified_alone(worker: Ranked, lines: list[Line]):
    garden = [each for each in lines if each.root == "garden"]
    await worker.count(*garden)

    assert await verified(worker, lines, "garden") == (len(garden), set())


async def test_a_line_of_the_log_that_was_never_counted_is_found(worker: Ranked, lines: list[Line]):
    missing = line("saw")
    await worker.count(*lines)

    assert (await verified(worker, [*lines, missing]))[1] == {Difference("garden.tools", "saw", "log", 1, 0)}


async def test_a_line_removed_from_the_truth_is_found(worker: Ranked):
    saws = [line("saw"), line("saw"), line("axe")]
    await worker.count(*saws)
    await worker.execute("DELETE FROM lines WHERE order_id = %s", saws[0].order_id)

    found = (await verified(worker, saws))[1]

    assert Difference("garden.tools", "saw", "log", 1, 0) in found
    assert Difference("garden", "saw", "all/orders", 1, 2) in found


async def test_a_counted_line_that_nobody_ordered_is_found(worker: Ranked, lines: list[Line]):
    made_up = [line("saw", order_id="00000000-0000-0000-0000-000000000001"), line("axe", order_id="ffffffff-0000-0000-0000-000000000001")]
    await worker.count(*lines, *made_up)

    assert (await verified(worker, lines))[1] == {Difference("garden.tools", product, "log", 0, 1) for product in ("saw", "axe")}


async def test_a_line_counted_with_another_quantity_is_found(worker: Ranked):
    saw = line("saw", 2)
    await worker.count(saw._replace(quantity=3))

    assert (await verified(worker, [saw]))[1] == {
        Difference("garden.tools", "saw", "log", 1, 0),
        Difference("garden.tools", "saw", "log", 0, 1),
    }


async def test_a_changed_count_in_a_board_is_found(worker: Ranked, lines: list[Line]):
    saws = [*lines, line("saw-2", 3)]
    await worker.count(*saws)
    await worker.redis.zincrby(await board(worker, "24h:units:garden"), 4, "saw-2")

    assert (await verified(worker, saws))[1] == {Difference("garden", "saw-2", "24h/units", 3, 7)}


async def test_an_extra_product_in_a_board_is_found(worker: Ranked, lines: list[Line]):
    await worker.count(*lines)
    await worker.redis.zadd(await board(worker, "all:revenue-USD:garden.tools"), {"ghost": 9})

    assert (await verified(worker, lines))[1] == {Difference("garden.tools", "ghost", "all/revenue", 0, 9)}


async def test_a_wrong_sum_that_history_is_read_from_is_found(worker: Ranked):
    saws = [line("saw", 2)]
    await worker.count(*saws)
    await worker.roll_up()
    await worker.execute("UPDATE hours SET units = 5")

    assert (await verified(worker, saws))[1] == {
        Difference(category, "saw", f"history/{window}/units", 2, 5)
        for category in ("garden", "garden.tools")
        for window in (Window.LAST_24_HOURS, Window.LAST_7_DAYS, Window.LAST_30_DAYS)
    }


async def test_a_board_that_stays_away_is_found(worker: Ranked):
    saw = line("saw")
    await worker.count(saw)
    worker.empty_redis()

    assert (await verified(worker, [saw]))[1] == {Difference("garden", "", f"{window}/board", 1, 0) for window in Window}


async def test_an_event_on_its_way_is_no_difference(worker: Ranked, lines: list[Line], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(audit_module, "SETTLE_SECONDS", 10)
    await worker.count(*lines[:60])
    verifying = asyncio.create_task(worker.audit(OrderLog(lines)).verify())
    await asyncio.sleep(0)
    await worker.store.add(lines[60:])
    await worker.sweep()

    assert (await verifying).differences == []


async def test_nothing_differs_while_orders_come_in(worker: Ranked, rival: Ranked, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(audit_module, "SETTLE_SECONDS", 10)
    log, choice = OrderLog(shopping(random.Random(1), 60)), random.Random(2)
    await rival.count(*log.lines)

    async def order() -> None:
        for _ in range(60):
            batch = shopping(choice, 5)
            log.lines.extend(batch)  # an order is in the log before its event is told
            await rival.count(*batch)

    reports, _ = await asyncio.gather(_verify_often(worker, log, 4), order())

    assert [report.differences for report in reports] == [[]] * 4


async def _verify_often(worker: Ranked, log: OrderLog, times: int) -> list[audit_module.Report]:
    return [await worker.audit(log).verify() for _ in range(times)]


async def test_a_rebuild_counts_the_log_again_and_flips(worker: Ranked, lines: list[Line]):
    await worker.count(*lines)
    await worker.roll_up()
    questions = every_query(lines)[::5]
    before = [(await worker.top(asked)).counts for asked in questions]

    assert await worker.audit(OrderLog(lines)).rebuild() == (2, len(lines))

    assert await worker.versions.live() == 2
    assert [(await worker.top(asked)).counts for asked in questions] == before
    assert [await worker.historical(asked) for asked in questions] == before
    assert [(await worker.top(query(root))).is_live for root in ("garden", "kitchen", "toys")] == [True] * 3


async def test_a_rebuild_mends_a_broken_truth(worker: Ranked, lines: list[Line]):
    await worker.count(*lines, line("made-up"))
    await worker.execute("DELETE FROM lines WHERE position % 3 = 0")
    await worker.audit(OrderLog(lines)).rebuild()

    assert await verified(worker, lines) == (len(lines), set())


async def test_a_rebuild_leaves_nothing_of_the_old_version(worker: Ranked, lines: list[Line]):
    await worker.count(*lines)
    await worker.roll_up()
    await worker.audit(OrderLog(lines)).rebuild()

    for table in ("lines", "roots", "rolled", "hours", "totals"):
        assert await worker.rows(f"SELECT DISTINCT generation FROM {table}") == [{"generation": 2}]
    assert await worker.rows("SELECT to_regclass('lines_1') AS old") == [{"old": None}]
    assert {key.split(b":")[2] async for key in worker.redis.scan_iter(match="*")} == {b"2"}


async def test_a_rebuild_with_orders_coming_in_loses_and_doubles_none(worker: Ranked, rival: Ranked, lines: list[Line]):
    log = OrderLog(lines, page=5)
    await worker.count(*lines)
    going = True

    async def order() -> None:
        choice = random.Random(3)
        while going:
            batch = shopping(choice, 4)
            log.lines.extend(batch)
            await rival.count(*batch)
            await rival.top(query())
            await asyncio.sleep(0.005)

    ordering = asyncio.create_task(order())
    await worker.audit(log).rebuild()
    going = False
    await ordering
    await worker.sweep()

    assert await verified(worker, log.lines) == (len(log.lines), set())
    for asked in every_query(log.lines)[::9]:
        assert (await worker.top(asked)).counts == recount(log.lines, asked)


async def test_lines_that_events_bring_later_than_the_log_fall_out(worker: Ranked):
    saw, axe = line("saw"), line("axe")
    await worker.count(saw)
    await worker.audit(OrderLog([saw, axe])).rebuild()
    await worker.count(axe)

    assert [count.orders for count in (await worker.top(query())).counts] == [1, 1]


async def test_a_second_rebuild_meanwhile_is_refused(worker: Ranked, rival: Ranked, lines: list[Line]):
    building = await worker.versions.open(timedelta(minutes=2))

    with pytest.raises(RebuildInProgress):
        await rival.audit(OrderLog(lines)).rebuild()

    assert await worker.rows("SELECT live, building FROM generation") == [{"live": 1, "building": building}]


async def test_a_rebuild_whose_process_died_gives_way_after_a_while(worker: Ranked, rival: Ranked, lines: list[Line]):
    await worker.count(*lines)
    dead = await worker.versions.open(timedelta(minutes=2))
    await worker.store.add_to(dead, lines[:5])
    await worker.sweep()
    await worker.projection.sweep(dead)
    await worker.execute("UPDATE generation SET building_since = now() - interval '3 minutes'")

    assert await rival.audit(OrderLog(lines)).rebuild() == (dead + 1, len(lines))
    assert await verified(worker, lines) == (len(lines), set())
    with pytest.raises(RebuildInProgress):
        await worker.versions.still_building(dead)
    with pytest.raises(RebuildInProgress):
        await worker.versions.flip(dead)


async def test_a_rebuild_that_fails_leaves_the_way_free(worker: Ranked, lines: list[Line]):
    await worker.count(*lines)
    with pytest.raises(ValueError, match="no such log"):
        await worker.audit(BrokenLog()).rebuild()

    assert await worker.rows("SELECT live, building FROM generation") == [{"live": 1, "building": None}]
    assert await worker.audit(OrderLog(lines)).rebuild() == (3, len(lines))


async def test_a_rebuild_that_is_cancelled_leaves_the_way_free(worker: Ranked, lines: list[Line]):
    log = OrderLog(lines)
    opened = asyncio.Event()

    class SlowLog(OrderLog):
        async def StreamOrderLines(self, request, timeout):
            opened.set()
            await asyncio.Event().wait()
            yield  # pragma: no cover

    rebuilding = asyncio.create_task(worker.audit(SlowLog()).rebuild())
    await opened.wait()
    rebuilding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await rebuilding

    assert (await worker.audit(log).rebuild())[1] == len(lines)


async def test_a_leader_that_rolls_up_a_version_while_it_is_dropped_leaves_no_rows(worker: Ranked):
    saw = line("saw")
    await worker.count(saw)
    await worker.audit(OrderLog([saw])).rebuild()

    assert await worker.history.roll_up(1, "garden", 10) is False
    assert await worker.rows("SELECT DISTINCT generation FROM rolled") == [{"generation": 2}]


async def test_a_window_is_verified_by_the_clock_of_the_verifier(worker: Ranked):
    lines = [line("old", minute=60 * (HOUR - 23)), back(line("gone")), line("new", order_id=str(uuid4()))]
    await worker.count(*lines)
    worker.pass_hours(1)
    found = (await verified(worker, lines))[1]
    await worker.sweep()

    assert found == {Difference("garden", "", f"{window}/board", 1, 0) for window in ROLLING}
    assert (await verified(worker, lines))[1] == set()


class BrokenLog(OrderLog):
    async def StreamOrderLines(self, request, timeout):
        raise ValueError("no such log")
        yield  # pragma: no cover
