import asyncio
import time

from tools.loading.pacing import closed_loop, open_loop
from tools.shop import Refused


def nobody(done: int) -> None:
    pass


async def test_an_open_loop_does_not_wait_for_answers():
    async def slow(shot, measures):
        await asyncio.sleep(0.3)
        return ""

    began = time.monotonic()
    measures = await open_loop(slow, range(20), 100, nobody)

    # 20 answers of 0.3 s each would take 6 s in a row.
    assert time.monotonic() - began < 2
    assert measures.successes == 20


async def test_a_latency_counts_from_when_the_shot_was_due():
    async def blocking(shot, measures):
        if shot == 0:
            time.sleep(0.4)  # noqa: ASYNC251 The generator itself is held up, so that all later shots start late.
        return ""

    measures = await open_loop(blocking, range(10), 100, nobody)

    assert sum(latency > 0.25 for latency in measures.seconds) == 10


async def test_failures_are_counted_by_reason():
    async def refuse(shot, measures):
        if shot % 2:
            raise Refused(400, 9, "OUT_OF_STOCK", "")
        return ""

    measures = await open_loop(refuse, range(10), 1000, nobody)

    assert (len(measures.seconds), measures.failures) == (5, {"OUT_OF_STOCK": 5})


async def test_a_closed_loop_does_not_time_what_it_prepares():
    async def make():
        await asyncio.sleep(0.1)

    async def fire(shot, measures):
        return ""

    measures = await closed_loop(fire, make, 0.5, 2, nobody)

    assert 2 <= len(measures.seconds) <= 12
    assert max(measures.seconds) < 0.05


async def test_a_closed_loop_has_as_many_clients_as_it_says():
    running, most = 0, 0

    async def fire(shot, measures):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.02)
        running -= 1
        return ""

    async def make():
        pass

    await closed_loop(fire, make, 0.2, 3, nobody)

    assert most == 3
