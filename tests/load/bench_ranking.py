"""How fast ranking counts, answers and is built anew, on servers of its own. Not a test: run it alone on an idle machine.

    python -m tests.load.bench_ranking [counting] [answering] [rebuilding] [--lines 200000] [--log 1000000] [--bus postgres]

The catalogue has 20,000 products in 24 root categories, ordered by Zipf's law (exponent 1); an event has one to five lines of one root. One
figure a line; the last line is all of them as JSON. CPU is of all processes of a kind: what an idle machine's speed follows from.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from itertools import accumulate
from pathlib import Path

import psycopg
import uvloop

from bazaar.orders.v1 import events_pb2, orders_service_pb2
from services.kit import outbox
from services.kit.events import event_bus
from services.kit.events.port import Event, EventBus, Topic
from services.kit.events.postgres_bus import MIGRATIONS
from services.kit.ids import uuid7
from services.kit.migrations import migrate
from services.ranking.events import subscription
from services.ranking.model import Line, Metric, Query, Window, chunks
from tests.load.cpu import Cpu
from tests.pulsar import running_pulsar
from tests.ranked import HOUR, Ranked, counted, emptied, line, ranked
from tools.servers import Running
from tools.servers.postgres import Postgres
from tools.servers.redis import Redis
from tools.shop.screen import bar

PRODUCTS, ROOTS = 20_000, 24
CALLERS, ASKED = 16, 5000
MINUTES = 10
"""The orders of a backlog were placed within so many minutes; those of the log within thirty days."""
HOURS = 30 * 24
WRITES, READS = 200, 50
"""Lines counted and answers given a second while a version is built."""
SWEEP_SECONDS, ROLL_UP_SECONDS = 2, 10


class Bench:
    """One worker's rankings and what was measured of them."""

    def __init__(self, worker: Ranked, bus: EventBus, cpu: Cpu, options: argparse.Namespace) -> None:
        self.worker = worker
        self.figures: dict[str, float] = {}
        self._bus = bus
        self._cpu = cpu
        self._options = options
        self._choice = random.Random(7)
        self._weights = list(accumulate(1 / rank for rank in range(1, PRODUCTS + 1)))

    async def counting(self) -> None:
        """A backlog on the bus, worked off by one consumer, with the leader's timers beside it."""
        lines = 0
        with bar("publishing a backlog", self._options.lines) as told:
            while lines < self._options.lines:
                orders = [self._order(HOUR * 60 + 29 - self._choice.randrange(MINUTES)) for _ in range(1000)]
                await self._bus.publish([_event(order) for order in orders])
                told(lines := lines + sum(map(len, orders)))
        before = await self._counted()
        async with self._led(), self._consuming():
            with bar("counting", lines) as told, self._measured("counting", "line", lines):
                while (done := await self._counted() - before) < lines or not await self._is_shown():
                    told(done)
                    await asyncio.sleep(0.2)

    async def answering(self) -> None:
        """Top 10s from the boards, then from history."""
        questions = iter([self._question() for _ in range(ASKED)])

        async def ask() -> None:
            for question in questions:
                await self.worker.boards.top(1, question, 10)

        with self._measured("answering", "answer", ASKED):
            await asyncio.gather(*(ask() for _ in range(CALLERS)))
        for window in Window:
            begun = time.perf_counter()
            for _ in range(20):
                await self.worker.historical(Query(_category(self._product()), Metric.ORDERS, window, "INR"))
            self._tell(f"historical {window}, ms", (time.perf_counter() - begun) * 50)

    async def rebuilding(self) -> None:
        """A version built from a log in memory, while lines are counted and answers given."""
        log = _Log(self._options.log)
        with bar("writing a log", self._options.log) as told:
            while log.lines < self._options.log:
                log.write([line for _ in range(200) for line in self._order(60 * (HOUR - self._choice.randrange(HOURS)))])
                told(log.lines)
        answers: list[float] = []
        writing, reading = asyncio.create_task(self._write()), asyncio.create_task(self._read(answers))
        with bar("rebuilding", log.lines) as told, self._measured("rebuilding", "line", log.lines):
            log.told = told
            await self.worker.audit(log).rebuild()  # type: ignore[arg-type]
        for task in (writing, reading):
            task.cancel()
        answers.sort()
        self._tell("answers meanwhile", len(answers))
        self._tell("answers meanwhile p99, ms", 1000 * answers[int(len(answers) * 0.99)])

    async def stock(self) -> None:
        """Every product has been ordered once."""
        for numbers in chunks(range(PRODUCTS), 2000):
            await self.worker.count(*(self._line(number, uuid7(), 1, HOUR * 60) for number in numbers))
        await self.worker.roll_up()

    def _order(self, minute: int) -> list[Line]:
        order_id, first = uuid7(), self._product()
        others = (ROOTS * (self._product() // ROOTS) + first % ROOTS for _ in range(self._choice.randrange(5)))
        return [self._line(number % PRODUCTS, order_id, place, minute) for place, number in enumerate((first, *others), start=1)]

    def _line(self, number: int, order_id: str, place: int, minute: int) -> Line:
        quantity = self._choice.randint(1, 3)
        return line(
            f"p{number}",
            quantity,
            category_id=_category(number),
            order_id=order_id,
            line_number=place,
            net_amount=499 * quantity,
            minute=minute,
        )

    def _product(self) -> int:
        return self._choice.choices(range(PRODUCTS), cum_weights=self._weights)[0]

    def _question(self) -> Query:
        return Query(_category(self._product()), Metric.ORDERS, self._choice.choice([*Window]), "INR")

    async def _counted(self) -> int:
        return sum((await self.worker.store.positions(1)).values())

    async def _is_shown(self) -> bool:
        positions = await self.worker.store.positions(1)
        heads = await self.worker.boards.heads(1, [*positions])
        return all(head and head.applied == position for head, position in zip(heads, positions.values(), strict=True))

    async def _write(self) -> None:
        while True:
            await self.worker.count(*(line for _ in range(WRITES // 30) for line in self._order(HOUR * 60)))
            await asyncio.sleep(0.1)

    async def _read(self, answers: list[float]) -> None:
        while True:
            begun = time.perf_counter()
            await self.worker.top(self._question())
            answers.append(time.perf_counter() - begun)
            await asyncio.sleep(1 / READS)

    @asynccontextmanager
    async def _consuming(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._bus.consume(subscription(self.worker.projection)))
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    @asynccontextmanager
    async def _led(self) -> AsyncIterator[None]:
        async def every(seconds: float, work) -> None:  # type: ignore[no-untyped-def]
            while True:
                await asyncio.sleep(seconds)
                await work()

        tasks = [
            asyncio.create_task(every(SWEEP_SECONDS, self.worker.sweep)),
            asyncio.create_task(every(ROLL_UP_SECONDS, self.worker.roll_up)),
        ]
        yield
        for task in tasks:
            task.cancel()

    @contextmanager
    def _measured(self, name: str, unit: str, count: int) -> Iterator[None]:
        used, begun = self._cpu.seconds(), time.perf_counter()
        yield
        took = time.perf_counter() - begun
        self._tell(f"{name}, s", took)
        self._tell(f"{name}, {unit}s/s", count / took)
        for process, seconds in self._cpu.seconds().items():
            self._tell(f"{name}, µs of CPU a {unit} in {process}", 1e6 * (seconds - used[process]) / count)

    def _tell(self, name: str, figure: float) -> None:
        self.figures[name] = round(figure, 1)
        print(f"{name:<50} {figure:>12,.1f}", flush=True)


class _Log:
    """Stands in for orders: pages of the order log, parsed as they are read."""

    def __init__(self, lines: int) -> None:
        self.lines = 0
        self.told = lambda done: None
        self._pages: list[bytes] = []

    def write(self, lines: Sequence[Line]) -> None:
        self.lines += len(lines)
        self._pages.append(orders_service_pb2.StreamOrderLinesResponse(lines=map(counted, lines)).SerializeToString())

    async def StreamOrderLines(self, request: object, timeout: float) -> AsyncIterator[orders_service_pb2.StreamOrderLinesResponse]:
        done = 0
        for page in self._pages:
            message = orders_service_pb2.StreamOrderLinesResponse.FromString(page)
            yield message
            self.told(done := done + len(message.lines))


def _category(number: int) -> str:
    return f"root-{number % ROOTS}.shelf-{number // ROOTS % 8}.row-{number // ROOTS // 8 % 5}"


def _event(lines: Sequence[Line]) -> Event:
    placed = events_pb2.OrderLineEvent(order_lines_placed=events_pb2.OrderLinesPlaced(lines=map(counted, lines)))
    return outbox.event(topic="order-lines", key=lines[0].root, subject=lines[0].order_id, aggregate_version=3, message=placed)


async def _measure(postgres: Postgres, redis: Redis, bus_url: str, options: argparse.Namespace) -> dict[str, float]:
    if options.bus == "postgres":
        await migrate(bus_url, [("events", MIGRATIONS)])
    bus = event_bus(bus_url)
    await bus.open()
    await bus.declare([Topic("order-lines")])
    async with ranked(await emptied(postgres.url("ranking")), redis.url) as worker:
        bench = Bench(worker, bus, Cpu(postgres.data, redis.url), options)
        await bench.stock()
        for what in options.what or ("counting", "answering", "rebuilding"):
            await getattr(bench, what)()
    await bus.close()
    return bench.figures


@contextmanager
def _bus_url(engine: str, postgres: Postgres, directory: Path) -> Iterator[str]:
    if engine == "postgres":
        yield postgres.url("events").replace("postgresql:", "postgres:")
    else:
        with running_pulsar(directory / "pulsar") as broker:
            yield broker.admin_url()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", nargs="*", metavar="WHAT", help="counting, answering or rebuilding; all of them when none is named")
    parser.add_argument("--lines", type=int, default=200_000)
    parser.add_argument("--log", type=int, default=1_000_000)
    parser.add_argument("--bus", choices=["postgres", "pulsar"], default="postgres")
    options = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="bzb-", dir="/tmp"))
    postgres, redis = Postgres(directory / "postgres", directory / "pg"), Redis(directory / "redis", "bench-password")
    try:
        with Running(postgres, directory / "postgres.log"), Running(redis, directory / "redis.log"):
            with psycopg.connect(postgres.url(), autocommit=True) as connection:
                connection.execute("CREATE DATABASE ranking")
                connection.execute("CREATE DATABASE events")
            with _bus_url(options.bus, postgres, directory) as bus_url:
                print(json.dumps(uvloop.run(_measure(postgres, redis, bus_url, options))))
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
