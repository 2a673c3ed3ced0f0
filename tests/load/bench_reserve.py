"""Reservations a second, durable (fsync on), on a PostgreSQL of its own.

    python -m tests.load.bench_reserve [--callers 256] [--seconds 5] [--lines 1] [--processes 1] [--single]

All callers want the same SKUs; each reserves again as soon as it is answered. `--single` sends every reservation in a transaction of its
own, for comparison. `--settle` commits each reservation as well.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import statistics
import tempfile
import time
from pathlib import Path

import psycopg
import uvloop

from services.inventory.model import Commit, Reserve
from services.kit.database import Database
from tests.stock import Inventory, migrated, order, reserve
from tools.servers import Running
from tools.servers.postgres import Postgres


async def caller(shelf: Inventory, options: argparse.Namespace, until: float, waits: list[float]) -> None:
    lines = [(f"hot-{number}", 1) for number in range(options.lines)]
    while (began := time.monotonic()) < until:
        wanted: Reserve = reserve(order(), *lines)
        if options.single:
            await shelf.reservations.decide([wanted])
        else:
            await shelf.reservations.submit(wanted)
            if options.settle:
                await shelf.reservations.submit(Commit(wanted.order_id))
        waits.append(time.monotonic() - began)


async def measure(url: str, options: argparse.Namespace) -> list[float]:
    """How long each reservation took, in seconds."""
    database = Database(url)
    await database.open()
    shelf = Inventory(database)
    waits: list[float] = []
    until = time.monotonic() + options.seconds
    await asyncio.gather(*(caller(shelf, options, until, waits) for _ in range(options.callers // options.processes)))
    await database.close()
    return waits


def process(url: str, options: argparse.Namespace) -> list[float]:
    return uvloop.run(measure(url, options))


async def prepare(url: str, options: argparse.Namespace) -> None:
    database = Database(await migrated(url))
    await database.open()
    for number in range(options.lines):
        await Inventory(database).receive(f"hot-{number}", 10**9)
    await database.close()


async def broken(url: str) -> list[tuple[str, str]]:
    database = Database(url)
    await database.open()
    found = await Inventory(database).broken()
    await database.close()
    return found


def report(waits: list[float], options: argparse.Namespace) -> str:
    cuts = statistics.quantiles(waits, n=100)
    kind = "one by one" if options.single else "coalesced"
    return (
        f"{len(waits) / options.seconds:,.0f} reservations/s of {options.lines} line(s), {kind}, {options.callers} callers, "
        f"{options.processes} process(es); p50 {cuts[49] * 1000:.1f} ms, p99 {cuts[98] * 1000:.1f} ms"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--callers", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--lines", type=int, default=1)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--single", action="store_true")
    parser.add_argument("--settle", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bzb-", dir="/tmp") as folder:
        server = Postgres(Path(folder) / "postgres", Path(folder) / "pg")
        with Running(server, Path(folder) / "postgres.log"):
            with psycopg.connect(server.url(), autocommit=True) as connection:
                connection.execute("CREATE DATABASE bench")
            url = server.url("bench")
            uvloop.run(prepare(url, options))
            with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
                results = pool.starmap(process, [(url, options)] * options.processes)
            print(report([wait for waits in results for wait in waits], options))
            assert not uvloop.run(broken(url)), "stock doesn't add up"


if __name__ == "__main__":
    main()
