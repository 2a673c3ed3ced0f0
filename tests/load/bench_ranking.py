"""How fast ranking counts and answers, on a PostgreSQL and a Redis of its own. Not a test: run it alone on an idle machine.

python -m tests.load.bench_ranking
"""

from __future__ import annotations

import asyncio
import os
import random
import resource
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg

from bazaar.orders.v1 import events_pb2
from services.kit import outbox
from services.kit.events.port import Event
from services.ranking.events import lines_of, subscription
from services.ranking.model import Metric, Query, Window
from tests.ranked import Ranked, counted, emptied, line, ranked
from tools.servers import Running
from tools.servers.postgres import Postgres
from tools.servers.redis import Redis

EVENTS = 20_000
BATCH = 500
LINES_AN_EVENT = 2
PRODUCTS = 1000
ASKED = 5000
CALLERS = 16


def main() -> None:
    with _servers() as (database_url, redis_url):
        asyncio.run(_measure(database_url, redis_url))


async def _measure(database_url: str, redis_url: str) -> None:
    for roots in (1, 30):
        async with ranked(await emptied(database_url), redis_url) as worker:
            worker.empty_redis()
            events = _events(roots)
            await worker.count(*(line(category_id=f"root-{root}") for root in range(roots)))  # so that every root has its board
            await _counting(worker, events, roots)
            await _answering(worker, roots)


async def _counting(worker: Ranked, events: Sequence[Event], roots: int) -> None:
    spent = {"parse": 0.0, "postgres": 0.0, "redis": 0.0}
    handle = subscription(worker.projection).handle
    with _timed(worker.store, "add", spent, "postgres"), _timed(worker.projection, "_follow", spent, "redis"):
        cpu, start = await _cpu(worker), time.perf_counter()
        for first in range(0, len(events), BATCH):
            await handle(events[first : first + BATCH])
        took = time.perf_counter() - start
        used = {name: seconds - cpu[name] for name, seconds in (await _cpu(worker)).items()}
    begun = time.perf_counter()
    lines = sum(1 for event in events for _ in lines_of(event))
    spent["parse"] = time.perf_counter() - begun
    where = ", ".join(f"{name} {100 * seconds / took:.0f} %" for name, seconds in spent.items())
    print(f"{roots:>2} roots: {lines / took:>8,.0f} lines/s counted ({where})")
    for name, seconds in used.items():
        print(f"          {1e6 * seconds / lines:>8.1f} µs of CPU a line in {name}")


async def _answering(worker: Ranked, roots: int) -> None:
    choice = random.Random(1)
    questions = [Query(_category(choice.randrange(PRODUCTS), roots), Metric.ORDERS, choice.choice([*Window]), "INR") for _ in range(ASKED)]
    left = iter(questions)

    async def ask() -> None:
        for question in left:
            await worker.boards.top(1, question, 10)

    cpu, start = await _cpu(worker), time.perf_counter()
    await asyncio.gather(*(ask() for _ in range(CALLERS)))
    print(f"{roots:>2} roots: {ASKED / (time.perf_counter() - start):>8,.0f} boards.top/s")
    for name, seconds in (await _cpu(worker)).items():
        print(f"          {1e6 * (seconds - cpu[name]) / ASKED:>8.1f} µs of CPU an answer in {name}")
    start = time.perf_counter()
    for question in questions[:100]:
        await worker.historical(question)
    print(f"{roots:>2} roots: {(time.perf_counter() - start) * 10:>8.1f} ms an answer from history (nothing rolled up)")


def _category(product: int, roots: int) -> str:
    return f"root-{product % roots}.shelf-{product % 7}.row-{product % 3}"


def _events(roots: int) -> list[Event]:
    """Orders of two lines of a Zipf-like choice of products, each event in one root."""
    choice = random.Random(7)
    ranks = [1 / rank for rank in range(1, PRODUCTS + 1)]
    events: list[Event] = []
    for product in choices(choice, ranks):
        order_id = str(uuid4())
        lines = [
            line(f"p{number}", choice.randint(1, 3), category_id=_category(number, roots), order_id=order_id, line_number=place)
            for place, number in enumerate((product, (product + 210 * roots) % PRODUCTS), start=1)
            if number % roots == product % roots
        ]
        placed = events_pb2.OrderLineEvent(order_lines_placed=events_pb2.OrderLinesPlaced(lines=map(counted, lines)))
        events.append(outbox.event(topic="order-lines", key=lines[0].root, subject=order_id, aggregate_version=3, message=placed))
    return events


def choices(choice: random.Random, weights: Sequence[float]) -> list[int]:
    return choice.choices(range(len(weights)), weights, k=EVENTS)


@contextmanager
def _timed(owner: object, method: str, spent: dict[str, float], name: str) -> Iterator[None]:
    original = getattr(owner, method)

    async def timed(*args: object) -> object:
        start = time.perf_counter()
        try:
            return await original(*args)
        finally:
            spent[name] += time.perf_counter() - start

    setattr(owner, method, timed)
    yield
    delattr(owner, method)


async def _cpu(worker: Ranked) -> dict[str, float]:
    """CPU seconds so far, by process: what an idle machine's speed would follow from, however busy this one is."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    info = await worker.redis.info("cpu", target_nodes="random")  # type: ignore[call-arg]
    backends = await worker.rows("SELECT pid FROM pg_stat_activity WHERE datname = current_database()")
    return {
        "this process": usage.ru_utime + usage.ru_stime,
        "redis": float(info["used_cpu_user"]) + float(info["used_cpu_sys"]),
        "postgres": sum(_cpu_of(row["pid"]) for row in backends),
    }


def _cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def _servers() -> Iterator[tuple[str, str]]:
    directory = Path(tempfile.mkdtemp(prefix="bzb-", dir="/tmp"))
    postgres = Postgres(directory / "postgres", directory / "pg")
    redis = Redis(directory / "redis", "bench-password")
    try:
        with Running(postgres, directory / "postgres.log"), Running(redis, directory / "redis.log"):
            with psycopg.connect(postgres.url(), autocommit=True) as connection:
                connection.execute("CREATE DATABASE bench")
            yield postgres.url("bench"), redis.url
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
