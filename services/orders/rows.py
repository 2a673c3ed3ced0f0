"""Rows of the orders database as the model's objects, and back."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import orjson
from psycopg.types.json import Jsonb

from services.orders.content import Address, Content, Line, Placed
from services.orders.model import Order, State, TimelineEntry


def order_from(row: dict[str, Any]) -> Order:
    """An order from a row of `orders`, with its content where the row has one."""
    return Order(
        order_id=row["order_id"],
        user_id=row["user_id"],
        state=State(row["state"]),
        version=row["version"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        timeline=tuple(_entry(entry) for entry in row["timeline"]),
        payment_state=row["payment_state"],
        payment_version=row["payment_version"],
        confirmed_at=row["confirmed_at"],
        due_at=row["due_at"],
        cancel_reason=row["cancel_reason"],
        content=content_from(row["content"]) if row["content"] else None,
    )


def content_from(document: dict[str, Any]) -> Content:
    """A content from its JSON."""
    return Content(
        **{**document, "lines": tuple(Line(**line) for line in document["lines"]), "address": Address(**document["address"])},
    )


def placed_from(row: dict[str, Any]) -> Placed:
    """What rankings count of an order, from a row that has no more than that."""
    return Placed(**{**row, "lines": tuple(Line(**line) for line in row["lines"])})


def json_of(value: object) -> Jsonb:
    """Dataclasses, times and all as jsonb."""
    return Jsonb(value, dumps=orjson.dumps)


def timeline_of(order: Order) -> Jsonb:
    """An order's timeline as jsonb."""
    return json_of(order.timeline)


def _entry(entry: dict[str, str]) -> TimelineEntry:
    return TimelineEntry(State(entry["state"]), datetime.fromisoformat(entry["at"]), entry["reason"])
