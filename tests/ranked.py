"""Rankings on a database and a Redis of their own, and a recount that knows nothing of how they count."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from redis import Redis as RedisClient

from bazaar.orders.v1 import orders_pb2, orders_service_pb2
from bazaar.type.v1 import money_pb2
from services import ranking
from services.kit.database import Database
from services.kit.migrations import KIT_MIGRATIONS, migrate
from services.kit.redis import open_redis
from services.ranking.audit import Audit
from services.ranking.boards import Boards
from services.ranking.boards_wire import Step
from services.ranking.model import Count, Line, Metric, Query, Window
from services.ranking.projection import Projection
from services.ranking.rankings import Answer, Rankings
from services.ranking.store import RankingStore
from services.ranking.store_history import HistoryStore
from services.ranking.store_versions import VersionStore

NOW = datetime(2026, 11, 21, 13, 30, tzinfo=UTC)
MINUTE = int(NOW.timestamp()) // 60
HOUR = MINUTE // 60

_EMPTY = """
DO $$ DECLARE version text; BEGIN
    FOR version IN SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'lines'::regclass LOOP
        EXECUTE 'DROP TABLE ' || version;
    END LOOP;
END $$;
CREATE TABLE lines_1 PARTITION OF lines FOR VALUES IN (1);
TRUNCATE lines, roots, rolled, hours, totals;
UPDATE generation SET live = 1, building = NULL, newest = 1;
"""


class Ranked:
    """What one worker process has of ranking, with a clock that the test sets."""

    def __init__(self, database: Database, redis_url: str) -> None:
        self.database = database
        self.redis_url = redis_url
        self.now = NOW
        self.redis = open_redis(redis_url)
        self.store, self.history, self.versions = RankingStore(database), HistoryStore(database), VersionStore(database)
        self.boards = Boards(self.redis)
        self.projection = Projection(self.store, self.history, self.boards, lambda: self.now)
        self.rankings = Rankings(self.history, self.boards, self.versions.live, lambda: self.now)

    @property
    def minute(self) -> int:
        return int(self.now.timestamp()) // 60

    def pass_hours(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    def pass_minutes(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)

    def audit(self, log: OrderLog) -> Audit:
        return Audit(log, (self.store, self.history, self.versions), self.boards, self.projection, lambda: self.now)  # type: ignore[arg-type]

    async def count(self, *lines: Line) -> None:
        await self.projection.count(lines)
        await self.projection.settled()

    def step(self, root: str, before: int, lines: Sequence[Line]) -> Step:
        """Lines at the positions after `before`, on their way to a board."""
        step = self.boards.step(1, root, before)
        step.add(lines)
        return step

    async def sweep(self) -> None:
        await self.projection.sweep(await self.versions.live())

    async def roll_up(self) -> None:
        await self.projection.roll_up(await self.versions.live())

    async def top(self, query: Query, limit: int = 10) -> Answer:
        return await self.rankings.top(query, limit)

    async def historical(self, query: Query, limit: int = 10) -> list[Count]:
        return await self.history.top(await self.versions.live(), query, minute=self.minute, limit=limit)

    def empty_redis(self) -> None:
        with RedisClient.from_url(self.redis_url) as client:
            client.flushall()

    async def rows(self, query: str, *parameters: object) -> list[dict[str, Any]]:
        async with self.database.connection() as connection:
            return await (await connection.execute(query, parameters)).fetchall()  # type: ignore[arg-type]

    async def execute(self, statement: str, *parameters: object) -> None:
        async with self.database.connection() as connection:
            await connection.execute(statement, parameters or None)  # type: ignore[arg-type]


@asynccontextmanager
async def ranked(url: str, redis_url: str) -> AsyncIterator[Ranked]:
    """A worker on a database that has ranking's tables."""
    database = Database(url)
    await database.open()
    worker = Ranked(database, redis_url)
    yield worker
    await worker.redis.aclose()
    await database.close()


async def emptied(url: str) -> str:
    """The database with ranking's tables, nothing counted."""
    folder = ranking.SERVICE.migrations
    assert isinstance(folder, Path)
    await migrate(url, [("kit", KIT_MIGRATIONS), ("ranking", folder)])
    database = Database(url)
    await database.open()
    async with database.connection() as connection:
        await connection.script(_EMPTY)
    await database.close()
    return url


class OrderLog:
    """Stands in for orders: the log of all lines ever counted, by order id."""

    def __init__(self, lines: Iterable[Line] = (), page: int = 50) -> None:
        self.lines = list(lines)
        self._page = page

    async def StreamOrderLines(
        self, request: orders_service_pb2.StreamOrderLinesRequest, timeout: float
    ) -> AsyncIterator[orders_service_pb2.StreamOrderLinesResponse]:
        orders: dict[str, list[Line]] = {}
        for line in sorted(self.lines, key=lambda line: line.order_id):
            orders.setdefault(line.order_id, []).append(line)
        ids = list(orders)
        for start in range(0, len(ids), self._page):
            page = [line for order_id in ids[start : start + self._page] for line in orders[order_id]]
            yield orders_service_pb2.StreamOrderLinesResponse(lines=map(counted, page))


def counted(line: Line) -> orders_pb2.CountedLine:
    """The line as orders tells of it."""
    message = orders_pb2.CountedLine(
        order_id=line.order_id,
        line_number=line.line_number,
        sign=line.sign,
        product_id=line.product_id,
        category_id=line.category_id,
        quantity=line.quantity,
        net_amount=money_pb2.Money(currency_code=line.currency, minor_units=line.net_amount),
    )
    message.placed_time.FromSeconds(line.minute * 60 + 59)
    return message


def line(
    product_id: str = "saw",
    quantity: int = 1,
    *,
    category_id: str = "garden.tools",
    order_id: str = "",
    line_number: int = 1,
    currency: str = "INR",
    net_amount: int = 100,
    minute: int = MINUTE,
) -> Line:
    return Line(order_id or str(uuid4()), line_number, +1, category_id, product_id, quantity, currency, net_amount, minute)


def back(line: Line) -> Line:
    """The line, taken back."""
    return line._replace(sign=-1)


def query(category: str = "garden", metric: Metric = Metric.ORDERS, window: Window = Window.ALL, currency: str = "INR") -> Query:
    return Query(category, metric, window, currency)


_FIRST_MINUTE: Mapping[Window, Callable[[int], int]] = {
    Window.ALL: lambda minute: 0,
    Window.LAST_HOUR: lambda minute: minute - 59,
    Window.LAST_24_HOURS: lambda minute: (minute // 60 - 23) * 60,
    Window.LAST_7_DAYS: lambda minute: (minute // 60 - 167) * 60,
    Window.LAST_30_DAYS: lambda minute: (minute // 60 - 719) * 60,
}


@dataclass
class _Sum:
    orders: int = 0
    units: int = 0
    revenue: int = 0


def recount(lines: Iterable[Line], asked: Query, limit: int = 10, minute: int = MINUTE) -> list[Count]:
    """The Top N as somebody would count it who reads every line, each once, with a pencil."""
    sums: dict[str, _Sum] = {}
    for each in set(lines):
        if each.category_id != asked.category and not each.category_id.startswith(f"{asked.category}."):
            continue
        if each.minute < _FIRST_MINUTE[asked.window](minute):
            continue
        total = sums.setdefault(each.product_id, _Sum())
        total.orders += each.sign
        total.units += each.sign * each.quantity
        if each.currency == asked.currency:
            total.revenue += each.sign * each.net_amount
    having = [(getattr(total, asked.metric), total.units, product, total) for product, total in sums.items()]
    best = sorted((row for row in having if row[0] > 0), key=lambda row: (-row[0], -row[1], row[2].encode()))
    return [Count(product, total.orders, total.units, total.revenue) for _, _, product, total in best[:limit]]


def every_query(lines: Sequence[Line]) -> list[Query]:
    """Every metric, window and currency of every category that a line counts for."""
    parts = {tuple(each.category_id.split(".")) for each in lines}
    categories = sorted({".".join(path[:depth]) for path in parts for depth in range(1, len(path) + 1)})
    currencies = sorted({each.currency for each in lines})
    return [
        Query(category, metric, window, currency)
        for category in categories
        for window in Window
        for currency in currencies
        for metric in Metric
    ]
