"""Redis dies, forgets, falls back to an older state and freezes while lines come and readers ask: nothing is lost, nothing doubled."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from redis import Redis as RedisClient

from services.kit.redis import RedisUnavailable
from services.ranking.model import Line, Query
from tests.ranked import OrderLog, Ranked, emptied, every_query, ranked, recount
from tests.shop import eventually
from tests.unit.ranking.shopping import shopping
from tools.servers import Running
from tools.servers.redis import Redis

SWEEP_SECONDS = 0.2


class Boards:
    """A Redis that keeps what it is told to keep."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = Redis(folder, "test-password")
        self.running = Running(self.server, folder.with_suffix(".log"))

    def call(self, *command: str) -> Any:
        with RedisClient.from_url(self.server.url, socket_timeout=5) as client:
            return client.execute_command(*command)

    def keep(self) -> None:
        """Puts what it holds now aside, as a replica that lags would have it."""
        self.call("SAVE")
        shutil.copy(self.folder / "dump.rdb", self.folder / "older.rdb")

    def restart(self) -> None:
        self.running.start()
        self.running.wait()


class Rush:
    """Lines that come, readers that ask, and a leader that sweeps, all the time."""

    def __init__(self, worker: Ranked, reader: Ranked) -> None:
        self.lines: list[Line] = []
        self.answers: list[bool] = []
        """Whether each came from the boards."""
        self.worker = worker
        self.reader = reader
        self._choice = random.Random(17)
        self._is_open = True

    async def order(self) -> None:
        while self._is_open:
            batch = shopping(self._choice, 3)
            self.lines += batch
            await self.worker.projection.count(batch)
            await asyncio.sleep(0.01)

    async def ask(self) -> None:
        while True:
            asked = self._choice.choice(every_query(self.lines[:50]))
            self.answers.append((await self.reader.top(asked)).is_live)
            await asyncio.sleep(0.005)

    async def sweep(self) -> None:
        while True:
            with suppress(RedisUnavailable):
                await self.worker.sweep()
            await asyncio.sleep(SWEEP_SECONDS)

    async def more(self, lines: int = 100) -> None:
        """Waits for more lines."""
        wanted = len(self.lines) + lines
        while len(self.lines) < wanted:
            await asyncio.sleep(0.01)

    async def answered(self, is_live: bool) -> None:
        """Waits for answers from the boards, or from history."""
        seen = len(self.answers)
        while is_live not in self.answers[seen:]:
            await asyncio.sleep(0.01)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Raises what any of them raised."""
        async with asyncio.TaskGroup() as group:
            ordering = group.create_task(self.order())
            tasks = [group.create_task(each) for each in (self.ask(), self.sweep())]
            await self.more()
            yield
            self._is_open = False  # an order that was begun is counted
            await ordering
            for task in tasks:
                task.cancel()


@pytest.fixture
def boards(folder: Path) -> Iterator[Boards]:
    boards = Boards(folder / "redis")
    with boards.running:
        yield boards


@pytest.fixture
async def rush(module_database_url: str, boards: Boards) -> AsyncIterator[Rush]:
    url = await emptied(module_database_url)
    async with ranked(url, boards.server.url) as worker, ranked(url, boards.server.url) as reader:
        yield Rush(worker, reader)


async def dies_and_comes_back_empty(boards: Boards, rush: Rush) -> None:
    boards.running.kill()
    await rush.answered(is_live=False)
    boards.restart()


async def dies_and_comes_back_older(boards: Boards, rush: Rush) -> None:
    boards.keep()
    await rush.more()
    boards.running.kill()
    await rush.answered(is_live=False)
    shutil.copy(boards.folder / "older.rdb", boards.folder / "dump.rdb")
    boards.restart()
    assert boards.call("DBSIZE") > 0


async def is_emptied(boards: Boards, rush: Rush) -> None:
    boards.call("FLUSHALL")
    await rush.more(20)


async def is_away_for_a_while(boards: Boards, rush: Rush) -> None:
    boards.call("CLIENT", "PAUSE", "3000")
    await rush.answered(is_live=False)
    await rush.more()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("happens", [dies_and_comes_back_empty, dies_and_comes_back_older, is_emptied, is_away_for_a_while])
async def test_every_window_is_exact_again_and_no_answer_failed(
    boards: Boards, rush: Rush, happens: Callable[[Boards, Rush], Awaitable[None]]
):
    async with rush.running():
        await happens(boards, rush)
        await rush.more()
        await rush.answered(is_live=True)
    worker, reader = rush.worker, rush.reader
    await worker.projection.settled()
    await eventually(lambda: _swept(worker, reader, rush.lines), [], 20)

    report = await worker.audit(OrderLog(rush.lines)).verify()
    assert (report.lines_counted, report.differences) == (len(rush.lines), [])
    assert [asked for asked in every_query(rush.lines) if await reader.historical(asked) != recount(rush.lines, asked)] == []


async def _swept(worker: Ranked, reader: Ranked, lines: list[Line]) -> list[Query]:
    """The questions that aren't answered from the boards, or not as a recount does."""
    with suppress(RedisUnavailable):
        await worker.sweep()
    wrong: list[Query] = []
    for asked in every_query(lines):
        answer, expected = await reader.top(asked), recount(lines, asked)
        if answer.counts != expected or (expected and not answer.is_live):
            wrong.append(asked)
    return wrong
