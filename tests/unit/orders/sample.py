"""Orders for tests of orders."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from services.kit.database import Database
from services.orders.content import Address, Content, Line
from services.orders.model import MOVES, Order, Request, State, TimelineEntry, move

USER = "0198c0de-0000-7000-8000-000000000001"
OTHER = "0198c0de-0000-7000-8000-000000000002"
AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = datetime(2026, 3, 1, 13, tzinfo=UTC)
ADDRESS = Address("0198c0de-0000-7000-8000-00000000000a", "1 MG Road", "", "Bengaluru", "KA", "560001", "IN")


def line(number: int = 1, sku: str = "tv", *, category_id: str = "electronics.tv", quantity: int = 1, price: int = 1000) -> Line:
    return Line(number, sku, sku, sku.upper(), category_id, quantity, price, quantity * price, 0)


def content(*lines: Line, cart_id: str = "") -> Content:
    bought = lines or (line(),)
    total = sum(of.net_amount for of in bought)
    return Content("USD", bought, total, 0, 0, 0, total, "COD", ADDRESS, cart_id)


def created(order_id: str = "0198c0de-0000-7000-8000-0000000000ff") -> Order:
    """An order as it is opened."""
    return Order(order_id, USER, State.CREATED, 1, AT, AT, (TimelineEntry(State.CREATED, AT),), due_at=LATER)


def order_in(state: State, **fields: object) -> Order:
    """An order that came into a state by the shortest way."""
    order = created()
    for _, to in pairwise(_way_to(state)):
        order = move(order, to, at=AT)
        if to is State.PAYMENT_PENDING:
            order = replace(order, content=content())
        if to is State.CONFIRMED:
            order = replace(order, confirmed_at=AT)
    return replace(order, **fields)  # type: ignore[arg-type]


def _way_to(state: State) -> list[State]:
    ways = [[State.CREATED]]
    while ways[0][-1] is not state:
        way = ways.pop(0)
        ways += [[*way, to] for to in State if to in MOVES[way[-1]]]
    return ways[0]


UNKEYED = Request("", "", "", b"")


def request(request_id: str = "key-1", body: bytes = b"one") -> Request:
    return Request(f"user:{USER}", "PlaceOrder", request_id, body)


async def rows(database: Database, statement: str, *values: object) -> list[tuple[Any, ...]]:
    """What a statement finds, row by row."""
    async with database.connection() as connection:
        cursor = await connection.execute(statement, values)  # type: ignore[arg-type]
        return [tuple(row.values()) for row in await cursor.fetchall()]


async def until_waiting(database: Database) -> None:
    """Until somebody waits for a lock."""
    async with asyncio.timeout(10):
        while not await rows(database, "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"):
            await asyncio.sleep(0.005)
