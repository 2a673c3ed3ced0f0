import asyncio
import time
from datetime import timedelta

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from services.kit.limits import counting
from services.kit.limits.attempts import Attempts, Window

THREE = Window(most=3, length=timedelta(minutes=1))


async def noted(attempts, times, window=THREE):
    return [await attempts.note("email:asha", window) for _ in range(times)]


def hold_up():
    """Has the event loop do nothing else, for longer than anybody waits for Redis."""
    time.sleep(2 * counting.PATIENCE_SECONDS)


async def test_so_many_are_allowed_within_a_window(redis):
    outcomes = await noted(Attempts(redis), 5)

    assert [outcome.retry_after is None for outcome in outcomes] == [True, True, True, False, False]


async def test_any_number_at_once_is_counted_right(redis):
    attempts = Attempts(redis)
    outcomes = await asyncio.gather(*(attempts.note("email:asha", THREE) for _ in range(200)))

    assert sum(outcome.retry_after is None for outcome in outcomes) == 3


async def test_a_process_that_is_held_up_lets_nobody_pass(redis):
    attempts = Attempts(redis)
    await noted(attempts, 3)
    fourth = asyncio.create_task(attempts.note("email:asha", THREE))
    for _ in range(3):
        await asyncio.sleep(0)
        hold_up()

    assert (await fourth).retry_after is not None


async def test_the_wait_is_until_the_first_one_leaves_the_window(redis):
    attempts = Attempts(redis)
    outcomes = await noted(attempts, 4)
    (_, first), *_ = await redis.zrange("attempts:{email:asha}", 0, 0, withscores=True)
    seconds, microseconds = await redis.execute_command("TIME", target_nodes="random")
    left = timedelta(microseconds=first + 60_000_000 - int(seconds) * 1_000_000 - int(microseconds))

    assert timedelta() <= outcomes[3].retry_after - left < timedelta(seconds=5)


async def test_what_has_left_the_window_counts_no_more(redis):
    attempts = Attempts(redis)
    outcomes = await noted(attempts, 3)
    await redis.zincrby("attempts:{email:asha}", -60_000_000, outcomes[0].attempt_id)

    assert [outcome.retry_after is None for outcome in await noted(attempts, 2)] == [True, False]


async def test_what_is_taken_back_leaves_its_place(redis):
    attempts = Attempts(redis)
    outcomes = await noted(attempts, 3)
    await attempts.forget(outcomes[:1])

    assert [outcome.retry_after is None for outcome in await noted(attempts, 2)] == [True, False]


async def test_nothing_stays_longer_than_its_window(redis):
    await noted(Attempts(redis), 1)

    assert 50_000 < await redis.pttl("attempts:{email:asha}") <= 60_000


async def test_all_are_allowed_while_redis_is_away_and_counted(nobody, monkeypatch: pytest.MonkeyPatch):
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    monkeypatch.setattr(counting, "_unanswered", provider.get_meter("test").create_counter("bazaar.limits.unanswered"))
    outcomes = await noted(Attempts(nobody), 5)
    await Attempts(nobody).forget(outcomes)

    (point,) = reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics[0].data.data_points
    assert [outcome.retry_after for outcome in outcomes] == [None] * 5
    assert (point.value, dict(point.attributes)) == (5, {"bazaar.limits": "attempts"})
