"""The event bus under load: how soon a handler has an event, and how fast a backlog goes.

    python -m tests.load.bench_events [postgres] [pulsar] [--rate 1000] [--seconds 20] [--backlog 100000]

For each engine, on servers of its own: publishes at a steady rate, whether or not handlers keep up, and measures from publish to handler;
then a relay publishes an outbox of `backlog` events, and a consumer whose handler does nothing works them off. The consumer is a process of
its own. Prints a JSON object an engine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import resource
import struct
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import uvloop

from services.kit.database import Database
from services.kit.events import event_bus
from services.kit.events.port import Event, Subscription, Topic
from services.kit.events.postgres_bus import MIGRATIONS
from services.kit.leader import Lease
from services.kit.migrations import KIT_MIGRATIONS, migrate
from services.kit.outbox import append
from services.kit.relay import Relay
from tests.contract.event_fixtures import new_event
from tests.pulsar import running_pulsar
from tools.servers import Running
from tools.servers.postgres import Postgres

KEYS = 1000
_TICK_SECONDS = 0.01
_TIME = struct.Struct("d")
_LEADER = "bench"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engines", nargs="*", metavar="ENGINE", help="postgres (the default) or pulsar")
    parser.add_argument("--rate", type=int, default=1000, help="events a second")
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--backlog", type=int, default=100_000, help="events")
    options = parser.parse_args()
    for engine in options.engines or ["postgres"]:
        with servers(engine) as (database, bus):
            print(json.dumps({"engine": engine, **uvloop.run(measure(database, bus, options))}, indent=1), flush=True)


@contextmanager
def servers(engine: str) -> Iterator[tuple[str, str]]:
    """The addresses of a database for an outbox, and of a bus."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        postgres = Postgres(folder / "postgres", folder)
        with Running(postgres, folder / "postgres.log"):
            postgres.create_databases(["bench", "bench_events"])
            if engine == "postgres":
                yield postgres.url("bench"), postgres.url("bench_events").replace("postgresql:", "postgres:")
            else:
                with running_pulsar(folder / "pulsar") as broker:
                    yield postgres.url("bench"), broker.admin_url()


async def measure(database_url: str, bus_url: str, options: argparse.Namespace) -> dict[str, Any]:
    """All figures of one engine."""
    await migrate(database_url, [("kit", KIT_MIGRATIONS)])
    if bus_url.startswith("postgres"):
        await migrate(bus_url, [("events", MIGRATIONS)])
    bus = event_bus(bus_url)
    await bus.open()
    await bus.declare([Topic("steady"), Topic("backlog")])
    # The first seconds belong to compilers, caches and producers that open.
    await steady(bus, bus_url, options.rate, 5)
    figures = await steady(bus, bus_url, options.rate, options.seconds)
    database = Database(database_url)
    await database.open()
    figures["relayed per second"] = round(options.backlog / await drain(database, bus, options.backlog))
    with consumer(bus_url, "backlog", options.backlog) as results:
        report = await asyncio.to_thread(results.recv)
        figures["consumed per second"] = round(options.backlog / report["seconds"])
        figures["consumer CPU us per event of a backlog"] = round(report["cpu"] / options.backlog * 1e6)
        figures["consumer RSS MB"] = report["rss"]
    await database.close()
    await bus.close()
    return figures


async def steady(bus: Any, bus_url: str, rate: int, seconds: int) -> dict[str, Any]:
    """Publishes at a rate for some seconds; every publication may take as long as it takes."""
    count = rate * seconds
    with consumer(bus_url, "steady", count) as results:
        await asyncio.to_thread(results.recv)
        sending: set[asyncio.Task[None]] = set()
        began, cpu, sent = time.monotonic(), time.process_time(), 0
        while sent < count:
            due = min(count, int((time.monotonic() - began) * rate) + 1)
            events = [_event("steady", number) for number in range(sent, due)]
            sending.add(asyncio.create_task(bus.publish(events)))
            sent = due
            await asyncio.sleep(_TICK_SECONDS)
        await asyncio.gather(*sending)
        cpu = time.process_time() - cpu
        report = await asyncio.to_thread(results.recv)
    waits = sorted(report["waits"])
    return {
        "events": count,
        "p50 ms": round(waits[count // 2] * 1000, 1),
        "p99 ms": round(waits[count * 99 // 100] * 1000, 1),
        "slowest ms": round(waits[-1] * 1000, 1),
        "publisher CPU us per event": round(cpu / count * 1e6),
        "consumer CPU us per event": round(report["cpu"] / count * 1e6),
    }


async def drain(database: Database, bus: Any, count: int) -> float:
    """Seconds that a relay takes for an outbox of so many events."""
    for start in range(0, count, 1000):
        async with database.transaction() as tx:
            append(tx, [_event("backlog", number) for number in range(start, min(count, start + 1000))])
    async with database.connection() as connection:
        await connection.execute("INSERT INTO leaders (name, epoch) VALUES (%s, 1)", [_LEADER])
    lease = Lease(_LEADER, 1)
    relay = Relay(database, bus.publish)
    began = time.monotonic()
    lease.renew(began)
    while await relay.relay_batch(lease):
        lease.renew(time.monotonic())
    return time.monotonic() - began


def _event(topic: str, number: int) -> Event:
    return new_event(topic, f"key-{number % KEYS}", number, payload=_TIME.pack(time.time()) + bytes(200))


@contextmanager
def consumer(url: str, topic: str, count: int) -> Iterator[Connection]:
    """A process that consumes so many events: says when it is ready, then how it went."""
    here, there = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_consume, args=(url, topic, count, there), daemon=True)
    process.start()
    try:
        yield here
    finally:
        process.join(timeout=10)
        process.kill()


def _consume(url: str, topic: str, count: int, results: Connection) -> None:
    uvloop.run(_consume_until(url, topic, count, results))


async def _consume_until(url: str, topic: str, count: int, results: Connection) -> None:
    waits: list[float] = []
    done = asyncio.Event()
    times: list[float] = []

    async def handle(events: Sequence[Event]) -> None:
        now = time.time()
        times.append(now)
        waits.extend(now - _TIME.unpack_from(event.payload)[0] for event in events)
        if len(waits) >= count:
            done.set()

    bus = event_bus(url)
    await bus.open()
    cpu = time.process_time()
    consuming = asyncio.create_task(bus.consume(Subscription(topic, "bench", handle)))
    await asyncio.sleep(2)
    if topic != "backlog":
        results.send("ready")
    await done.wait()
    report = {"waits": waits if topic != "backlog" else [], "cpu": time.process_time() - cpu, "seconds": times[-1] - times[0]}
    consuming.cancel()
    await asyncio.wait([consuming])
    await bus.close()
    results.send({**report, "rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024})


if __name__ == "__main__":
    main()
