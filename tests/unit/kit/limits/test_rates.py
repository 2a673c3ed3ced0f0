import asyncio
from datetime import timedelta

from services.kit.limits.rate import Rate
from services.kit.limits.rates import Rates
from services.kit.redis import open_redis
from services.kit.telemetry import tracing
from tests.spans import recorded

SLOW = Rate(per_second=0.01, burst=3)
"""One comes back every hundred seconds: none within a test."""


async def test_a_burst_passes_and_no_more(redis):
    rates = Rates(redis)

    assert [(await rates.take("asha", SLOW)).is_allowed for _ in range(5)] == [True, True, True, False, False]


async def test_a_verdict_says_what_is_left(redis):
    rates = Rates(redis)

    assert [(await rates.take("asha", SLOW)).remaining for _ in range(4)] == [2, 1, 0, 0]


async def test_whoever_is_refused_is_told_when_to_come_back(redis):
    rates = Rates(redis)
    verdict = [await rates.take("asha", SLOW) for _ in range(4)][-1]

    assert timedelta(seconds=90) < verdict.retry_after <= timedelta(seconds=100)
    assert timedelta(seconds=290) < verdict.full_after <= timedelta(seconds=300)


async def test_a_refusal_costs_nothing(redis):
    rates = Rates(redis)
    refusals = [await rates.take("asha", SLOW) for _ in range(9)][3:]

    assert all(refusal.full_after <= timedelta(seconds=300) for refusal in refusals)


async def test_it_comes_back_at_the_rate(redis):
    rates, quick = Rates(redis), Rate(per_second=10, burst=1)
    await rates.take("asha", quick)
    # A tenth of a second before the whole burst is there, by Redis's own clock: nobody has to wait for it.
    await redis.set("rate:{asha}", int(await redis.get("rate:{asha}")) - 100_000)

    assert (await rates.take("asha", quick)).is_allowed


async def test_keys_are_counted_apart(redis):
    rates = Rates(redis)
    for _ in range(3):
        await rates.take("asha", SLOW)

    assert (await rates.take("ravi", SLOW)).remaining == 2


async def test_processes_count_together_however_many_come_at_once(redis, empty_redis_url):
    other = open_redis(empty_redis_url)
    verdicts = await asyncio.gather(*(rates.take("asha", SLOW) for rates in (Rates(redis), Rates(other)) for _ in range(50)))
    await other.aclose()

    assert sum(verdict.is_allowed for verdict in verdicts) == SLOW.burst


async def test_what_comes_at_once_goes_to_redis_together(redis):
    rates = Rates(redis)
    await rates.take("known", SLOW)
    with recorded() as spans, tracing.span("outer"):
        await asyncio.gather(*(rates.take(f"user-{number}", SLOW) for number in range(20)))

    assert [span.name for span in spans.all if span.name != "outer"].count("PIPELINE") == 1


async def test_a_key_is_gone_once_its_burst_is_whole(redis):
    await Rates(redis).take("asha", SLOW)

    assert 99_000 < await redis.pttl("rate:{asha}") <= 100_000


async def test_nothing_is_known_while_redis_is_away(nobody):
    assert await Rates(nobody).take("asha", SLOW) is None


async def test_a_redis_that_is_away_is_not_asked_again_at_once(nobody):
    rates = Rates(nobody)
    await rates.take("asha", SLOW)
    with recorded() as spans, tracing.span("outer"):
        for _ in range(3):
            await rates.take("asha", SLOW)

    assert [span.name for span in spans.all] == ["outer"]
