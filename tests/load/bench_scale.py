"""What an order costs in a shop that has stored little, and in one that has stored much. Not a test: run it alone on an idle machine.

    python -m tests.load.bench_scale [orders|products] [--few 10000] [--many 1000000] [--pairs 5] [--rate 60] [--seconds 12]

Each shop has a home of its own; they take turns. What is stored are copies (tests/load/copies.py). A line of JSON a run: CPU an order,
and the mebibytes that each process holds; then medians.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from tests.load.copies import copy_orders, copy_products
from tests.load.memory import mebibytes
from tests.shell import Shell
from tools.loading.run import Plan, run

FIRST = Plan("checkout", seconds=10, rate=20)
"""Places the orders that are copied."""

COPY: dict[str, Callable[[Shell, int], None]] = {"orders": copy_orders, "products": copy_products}


class Kept:
    """A shop with orders, or products, in store."""

    def __init__(self, folder: Path, kind: str, count: int) -> None:
        self.runs: list[dict[str, Any]] = []
        self._kind, self._count = kind, count
        self._shell = Shell(folder)

    def fill(self) -> None:
        """Places some orders, and copies what is to be there."""
        self._shell.up()
        asyncio.run(run(FIRST, self._shell.home))
        COPY[self._kind](self._shell, self._count)
        self._shell.run("down")

    def measure(self, plan: Plan) -> None:
        """One run, from start to stop."""
        self._shell.up()
        figures = asyncio.run(run(plan, self._shell.home))
        held = self._held()
        self._shell.run("down")
        assert figures["failures"] == 0, figures
        cpu = {name: ms for name, ms in figures["cpu_ms_per_operation"].items() if name != "generator"}
        p50 = figures["latency_ms"]["p50"]
        self.runs.append({self._kind: self._count, "p50_ms": p50, "cpu_ms": sum(cpu.values()), **cpu, "mebibytes": held})
        print(json.dumps(self.runs[-1]), flush=True)

    def end(self) -> None:
        self._shell.end()

    def _held(self) -> dict[str, int]:
        state = self._shell.home.read_state()
        assert state is not None
        return {process.name: round(mebibytes(process.identity.pid)) for process in state.processes if process.identity}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", nargs="?", choices=COPY, default="orders")
    parser.add_argument("--few", type=int, default=10_000)
    parser.add_argument("--many", type=int, default=1_000_000)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--rate", type=float, default=60)
    parser.add_argument("--seconds", type=float, default=12)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bzs-", dir="/tmp") as name:
        shops = [Kept(Path(name) / str(count), options.kind, count) for count in (options.few, options.many)]
        try:
            for shop in shops:
                shop.fill()
            for _ in range(options.pairs):
                for shop in shops:
                    shop.measure(Plan("checkout", options.seconds, options.rate))
        finally:
            for shop in shops:
                shop.end()
    few, many = ([each["cpu_ms"] for each in shop.runs] for shop in shops)
    ratios = [after / before for before, after in zip(few, many, strict=True)]
    print(f"CPU an order, medians: {median(few):.2f} ms with {options.few:,}, {median(many):.2f} ms with {options.many:,} {options.kind}")
    print(f"ratio of each pair: {', '.join(f'{ratio:.2f}' for ratio in ratios)}; median {median(ratios):.2f}")


if __name__ == "__main__":
    main()
