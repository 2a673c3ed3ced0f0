import asyncio
import time

import pytest

from services.kit.errors import Unavailable
from services.kit.rpc.calls import Call, Principal, current, enter
from services.ranking import fresh as fresh_module
from services.ranking.fresh import Fresh


class Source:
    """Answers with how often it was asked, once it is let go."""

    def __init__(self) -> None:
        self.reads = 0
        self.go = asyncio.Event()
        self.error: Exception | None = None

    async def read(self, key: str) -> str:
        self.reads += 1
        answer = f"{key} {self.reads}"
        await self.go.wait()
        if self.error:
            raise self.error
        return answer


@pytest.fixture
def source() -> Source:
    return Source()


async def test_a_hundred_callers_are_one_read(source: Source):
    fresh = Fresh(source.read)
    callers = [asyncio.create_task(fresh.get("top")) for _ in range(100)]
    await asyncio.sleep(0)
    source.go.set()

    assert await asyncio.gather(*callers) == ["top 1"] * 100


async def test_an_answer_is_good_for_a_second(source: Source, monkeypatch: pytest.MonkeyPatch):
    fresh, now = Fresh(source.read), time.monotonic()
    source.go.set()
    answers: list[str] = []
    for after in (0.0, 0.9, 1.1):
        monkeypatch.setattr(fresh_module, "time", _Clock(now + after))
        answers.append(await fresh.get("top"))

    assert answers == ["top 1", "top 1", "top 2"]


async def test_each_key_has_its_answer(source: Source):
    fresh = Fresh(source.read)
    source.go.set()

    assert [await fresh.get("top"), await fresh.get("other")] == ["top 1", "other 2"]


async def test_a_failure_is_told_to_all_who_wait_and_not_remembered(source: Source):
    fresh = Fresh(source.read)
    source.error = away = Unavailable("the database is away")
    callers = [asyncio.create_task(fresh.get("top")) for _ in range(3)]
    await asyncio.sleep(0)
    source.go.set()
    failed = await asyncio.gather(*callers, return_exceptions=True)
    source.error = None

    assert failed == [away] * 3
    assert await fresh.get("top") == "top 2"


async def test_a_caller_who_hangs_up_takes_nobody_with_him(source: Source):
    fresh = Fresh(source.read)
    first, second = asyncio.create_task(fresh.get("top")), asyncio.create_task(fresh.get("top"))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    source.go.set()

    assert (await second, first.cancelled(), source.reads) == ("top 1", True, 1)


async def test_a_read_has_more_time_than_the_hurried_caller_who_began_it():
    left: list[float | None] = []

    async def read(key: str) -> str:
        left.append(current().remaining())
        return key

    enter(
        Call("/bazaar.ranking.v1.RankingService/QueryTopProducts", "edge", Principal("anonymous", "", frozenset()), time.monotonic() + 0.01)
    )
    await Fresh(read).get("top")

    assert left[0] is not None
    assert left[0] > 4


async def test_no_more_than_so_many_answers_are_remembered(source: Source, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fresh_module, "_REMEMBERED", 2)
    fresh = Fresh(source.read)
    source.go.set()
    for key in ("a", "b", "c"):
        await fresh.get(key)

    assert [await fresh.get("c"), await fresh.get("b"), await fresh.get("a")] == ["c 3", "b 2", "a 4"]


class _Clock:
    def __init__(self, now: float) -> None:
        self._now = now

    def monotonic(self) -> float:
        return self._now
