"""What an order costs in a shop that has stored few orders, and in one that has stored many. Not a test: run it alone on an idle machine.

    python -m tests.load.bench_scale [--few 10000] [--many 1000000] [--pairs 5] [--rate 60] [--seconds 12]

Each shop has a home of its own; they take turns. What is stored are copies of real orders, with what inventory and payments keep of them.
Nothing was taken from stock for the copies, and no ranking counts them. A line of JSON a run, then medians.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import psycopg

from tests.shell import Shell
from tools.auditing import servers_of
from tools.loading.run import Plan, run
from tools.shop.screen import bar

FIRST = Plan("checkout", seconds=10, rate=20)
"""Places the orders that are copied."""
TEMPLATES = 100
AT_ONCE = 50_000
DAYS = 30
"""The copies' ids are spread over the last so many days, as ids made by time would be."""

_ID = "(lpad(to_hex({first}::bigint + n * {step}), 12, '0') || '7{kind}008000' || lpad(to_hex(n), 12, '0'))::uuid"
_ORDER, _PAYMENT = "0", "1"

_CHOOSE = """
CREATE TEMP TABLE originals AS
SELECT chosen.place, kept.*
FROM unnest(%s::uuid[]) WITH ORDINALITY AS chosen (id, place) JOIN {table} AS kept ON kept.{key}::text = chosen.id::text
"""

Table = tuple[str, str, str, Mapping[str, str]]
"""A service, its table, the column that holds the order's id, and what a copy has in place of the original's values."""

_TABLES: Sequence[Table] = (
    ("orders", "orders", "order_id", {"order_id": _ORDER}),
    ("orders", "order_contents", "order_id", {"order_id": _ORDER}),
    ("orders", "order_requests", "order_id", {"order_id": _ORDER, "request_id": "'copy-' || n"}),
    ("inventory", "reservations", "order_id", {"order_id": _ORDER}),
    ("inventory", "ledger", "reference", {"reference": _ORDER}),
    ("payments", "payments", "order_id", {"order_id": _ORDER, "payment_id": _PAYMENT}),
)


class Kept:
    """A shop with orders in store."""

    def __init__(self, folder: Path, orders: int) -> None:
        self.orders = orders
        self.runs: list[dict[str, Any]] = []
        self._shell = Shell(folder)

    def fill(self) -> None:
        """Places some orders, and copies them."""
        self._shell.up()
        asyncio.run(run(FIRST, self._shell.home))
        servers = servers_of(self._shell.home)
        with psycopg.connect(servers.database("orders")) as connection:
            statement = "SELECT order_id FROM orders WHERE state = 'CONFIRMED' ORDER BY order_id LIMIT %s"
            templates = [row[0] for row in connection.execute(statement, [TEMPLATES])]
        with bar(f"{self.orders:,} orders", self.orders * len(_TABLES)) as told:
            for place, table in enumerate(_TABLES):
                with psycopg.connect(servers.database(table[0]), autocommit=True) as connection:
                    connection.execute(_CHOOSE.format(table=table[1], key=table[2]).encode(), [templates])
                    copy = self._copy(connection, table)
                    for first in range(0, self.orders, AT_ONCE):
                        last = min(first + AT_ONCE, self.orders)
                        connection.execute(copy, {"first": first, "last": last - 1, "templates": len(templates)})
                        told(place * self.orders + last)
                    connection.execute(f"VACUUM ANALYZE {table[1]}".encode())
        self._shell.run("down")

    def measure(self, plan: Plan) -> None:
        """One run, from start to stop."""
        self._shell.up()
        figures = asyncio.run(run(plan, self._shell.home))
        self._shell.run("down")
        assert figures["failures"] == 0, figures
        cpu = {name: ms for name, ms in figures["cpu_ms_per_operation"].items() if name != "generator"}
        self.runs.append({"orders": self.orders, "p50_ms": figures["latency_ms"]["p50"], "cpu_ms": sum(cpu.values()), **cpu})
        print(json.dumps(self.runs[-1]), flush=True)

    def end(self) -> None:
        self._shell.end()

    def _copy(self, connection: psycopg.Connection[Any], table: Table) -> bytes:
        _, name, _, overrides = table
        listed = "SELECT column_name FROM information_schema.columns WHERE table_name = %s AND is_identity = 'NO' ORDER BY ordinal_position"
        columns = [row[0] for row in connection.execute(listed, [name])]
        values = [self._value(overrides[column]) if column in overrides else f"original.{column}" for column in columns]
        return f"""INSERT INTO {name} ({", ".join(columns)}) SELECT {", ".join(values)}
            FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
            JOIN originals AS original ON original.place = 1 + n %% %(templates)s""".encode()

    def _value(self, override: str) -> str:
        if override not in (_ORDER, _PAYMENT):
            return override
        span = DAYS * 86_400_000
        return _ID.format(first=int(time.time() * 1000) - span, step=max(1, span // self.orders), kind=override)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--few", type=int, default=10_000)
    parser.add_argument("--many", type=int, default=1_000_000)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--rate", type=float, default=60)
    parser.add_argument("--seconds", type=float, default=12)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bzs-", dir="/tmp") as name:
        shops = [Kept(Path(name) / str(orders), orders) for orders in (options.few, options.many)]
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
    print(f"CPU an order, medians: {median(few):.2f} ms with {options.few:,}, {median(many):.2f} ms with {options.many:,} orders stored")
    print(f"ratio of each pair: {', '.join(f'{ratio:.2f}' for ratio in ratios)}; median {median(ratios):.2f}")


if __name__ == "__main__":
    main()
