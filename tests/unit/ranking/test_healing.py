"""Whatever happens to Redis, or between PostgreSQL and Redis, the boards come to say what a recount says."""

import asyncio
import time
from typing import Any

import pytest
from redis import Redis as RedisClient

from services.kit.redis import RedisUnavailable, open_redis
from services.ranking import boards as boards_module
from services.ranking.boards import Boards
from services.ranking.model import Line
from services.ranking.rankings import Rankings
from tests.ranked import Ranked, line, query, recount
from tests.unit.ranking.exact import HISTORICAL, LIVE, assert_exact, boards_of
from tools.servers import free_port


async def test_an_emptied_redis_is_filled_by_the_sweep_and_history_answers_meanwhile(worker: Ranked, lines: list[Line]):
    await worker.count(*lines)
    worker.empty_redis()

    await assert_exact(worker, lines, HISTORICAL)
    await worker.sweep()
    await assert_exact(worker, lines)


async def test_an_emptied_redis_is_filled_by_the_next_line_of_a_root(worker: Ranked):
    saw, axe = line("saw"), line("axe")
    await worker.count(saw)
    worker.empty_redis()
    await worker.count(axe)

    answer = await worker.top(query())

    assert (answer.counts, answer.is_live) == (recount([saw, axe], query()), LIVE)


async def test_boards_are_filled_from_sums_and_the_lines_after_them(worker: Ranked, lines: list[Line]):
    await worker.count(*lines[:80])
    await worker.roll_up()
    await worker.count(*lines[80:])
    worker.empty_redis()
    await worker.sweep()

    await assert_exact(worker, lines)


async def test_a_consumer_killed_before_redis_is_made_good_by_the_sweep(worker: Ranked, lines: list[Line]):
    await worker.count(*lines[:80])
    await worker.store.add(lines[80:])
    await worker.sweep()

    await assert_exact(worker, lines)


async def test_a_consumer_killed_before_redis_is_made_good_by_the_redelivery(worker: Ranked, lines: list[Line]):
    await worker.count(*lines[:80])
    await worker.store.add(lines[80:])
    await worker.count(*lines[80:])

    await assert_exact(worker, lines)


async def test_a_consumer_killed_before_redis_is_made_good_by_the_next_batch(worker: Ranked, rival: Ranked, lines: list[Line]):
    lines = [each for each in lines if each.root == "garden"]
    await worker.count(*lines[:20])
    await worker.store.add(lines[20:40])
    await rival.count(*lines[40:])

    await assert_exact(worker, lines)


async def test_a_board_far_behind_is_filled_anew(worker: Ranked, lines: list[Line], monkeypatch: pytest.MonkeyPatch):
    await worker.count(*lines[:10])
    await worker.store.add(lines[10:])
    monkeypatch.setattr("services.ranking.projection.FILL_BEYOND", 3)
    await worker.sweep()

    await assert_exact(worker, lines)
    assert len(await boards_of(worker, "garden")) == 1


async def test_lines_that_a_board_has_are_not_added_again(worker: Ranked):
    await worker.count(line("saw"), line("saw"))

    found = await worker.boards.apply(1, [worker.step("garden", 0, [line("saw"), line("saw")])])

    assert (found, (await worker.top(query())).counts[0].orders) == ([2], 2)


async def test_a_redis_that_knows_no_script_yet_gets_it_and_the_lines(worker: Ranked, lines: list[Line]):
    await worker.count(*lines[:60])
    with RedisClient.from_url(worker.redis_url) as client:
        client.script_flush()
    await worker.count(*lines[60:])

    await assert_exact(worker, lines)


async def test_a_board_restored_to_an_older_state_catches_up(worker: Ranked, lines: list[Line]):
    await worker.count(*lines[:60])
    older = dumped(worker)
    await worker.count(*lines[60:])
    restore(worker, older)
    await worker.sweep()

    await assert_exact(worker, lines)


async def test_a_board_restored_to_an_older_state_catches_up_with_the_next_line(worker: Ranked):
    saws = [line("saw") for _ in range(4)]
    await worker.count(saws[0])
    older = dumped(worker)
    await worker.count(*saws[1:3])
    restore(worker, older)
    await worker.count(saws[3])

    assert (await worker.top(query())).counts == recount(saws, query())


async def test_with_nobody_listening_history_answers_and_lines_count(worker: Ranked, lines: list[Line]):
    with_no_redis(worker)
    await worker.count(*lines)

    await assert_exact(worker, lines, HISTORICAL)


async def test_lines_counted_without_redis_are_live_once_it_is_back(worker: Ranked, rival: Ranked, lines: list[Line]):
    await worker.count(*lines[:60])
    with_no_redis(worker)
    await worker.count(*lines[60:])
    await rival.sweep()

    await assert_exact(rival, lines)


async def test_a_frozen_redis_costs_readers_half_a_second_once(worker: Ranked, monkeypatch: pytest.MonkeyPatch):
    saws = [line("saw"), line("saw")]
    await worker.count(saws[0])
    monkeypatch.setattr(boards_module, "AWAY_SECONDS", 0.2)
    with RedisClient.from_url(worker.redis_url) as client:
        client.execute_command("CLIENT", "PAUSE", 1500)
    frozen_at = time.monotonic()

    first = await worker.top(query())
    after_first = time.monotonic()
    rest = [await worker.top(query()) for _ in range(5)]
    with pytest.raises(RedisUnavailable):
        await worker.sweep()
    after_rest = time.monotonic()

    assert [answer.is_live for answer in (first, *rest)] == [False] * 6
    assert 0.5 <= after_first - frozen_at < 1.2
    assert after_rest - after_first < 0.2
    while not (answer := await worker.top(query())).is_live:
        assert time.monotonic() - frozen_at < 10
        await asyncio.sleep(0.05)
    assert answer.counts == recount(saws[:1], query())


async def test_a_board_that_a_script_left_half_written_is_filled_anew(worker: Ranked, lines: list[Line], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(boards_module, "AWAY_SECONDS", 0)
    await worker.count(*lines[:60])
    [board] = await boards_of(worker, "garden")
    await worker.redis.set(f"{board}:24h:units:garden.tools", "no sorted set")
    await worker.count(*lines[60:])

    garden = [each for each in lines if each.root == "garden"]
    await assert_exact(worker, garden, HISTORICAL)
    await worker.sweep()
    await assert_exact(worker, lines)
    assert len(await boards_of(worker, "garden")) == 1


def dumped(worker: Ranked) -> dict[bytes, Any]:
    with RedisClient.from_url(worker.redis_url) as client:
        return {key: client.dump(key) for key in client.keys("rank:*")}  # type: ignore[union-attr]


def restore(worker: Ranked, older: dict[bytes, Any]) -> None:
    """All keys as they were, as after a fail-over to a replica that lagged."""
    with RedisClient.from_url(worker.redis_url) as client:
        for key in client.keys("rank:*"):  # type: ignore[union-attr]
            client.delete(key)
        for key, value in older.items():
            client.restore(key, 0, value)


def with_no_redis(worker: Ranked) -> None:
    """From now on nobody listens where the worker's Redis was."""
    worker.boards = Boards(open_redis(f"redis://127.0.0.1:{free_port()}"))
    worker.projection._boards = worker.boards
    worker.rankings = Rankings(worker.history, worker.boards, worker.versions.live, lambda: worker.now)
