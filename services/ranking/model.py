"""The rules of the rankings: what a line counts for, in which window, and who stands before whom."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeVar

from services.kit.errors import FailedPrecondition, NotFound

HOURS_IN_WINDOW = 24
SECONDS_IN_HOUR = 3600

T = TypeVar("T")


class Metric(StrEnum):
    """What is counted."""

    ORDERS = "orders"
    UNITS = "units"
    REVENUE = "revenue"


class Window(StrEnum):
    """Over which time."""

    ALL = "all"
    LAST_24_HOURS = "24h"


class ProductNotRanked(NotFound):
    """Nobody has ordered the product in this category and window."""

    reason = "PRODUCT_NOT_RANKED"


class RebuildInProgress(FailedPrecondition):
    """A new version is being built already."""

    reason = "REBUILD_IN_PROGRESS"


@dataclass(frozen=True, slots=True)
class Line:
    """One order line, placed or taken back."""

    order_id: str
    line_number: int
    sign: int
    """+1 placed, −1 taken back."""
    category_id: str
    product_id: str
    quantity: int
    currency: str
    net_amount: int
    """Minor units, without tax and shipping."""
    hour: int
    """Hours since 1970 of the order's placing, for a line taken back as well: when it has left a window, the line changes that no more."""

    @property
    def root(self) -> str:
        return root_of(self.category_id)


@dataclass(frozen=True, slots=True)
class Query:
    """Which ranking is asked for."""

    category: str
    metric: Metric
    window: Window
    currency: str

    @property
    def root(self) -> str:
        return root_of(self.category)


@dataclass(frozen=True, slots=True)
class Count:
    """What a product has come to in one category and window."""

    product_id: str
    orders: int
    units: int
    revenue: int
    """Minor units of the currency asked for."""

    def order_by(self, metric: Metric) -> tuple[int, int, bytes]:
        """Sort key, ascending: most of the metric first, then more units, then the smaller product id in byte order."""
        return (-getattr(self, metric), -self.units, self.product_id.encode())


Cell = tuple[str, str, str, int]
"""What lines are added up by: category id, product id, currency, hour (0 in sums over several hours)."""

Amounts = tuple[int, int, int]
"""Orders, units, revenue."""

Board = tuple[str, Metric, str]
"""A list of products by amount: category id, metric, currency (of revenue; empty otherwise)."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One count that isn't what it should be."""

    category: str
    product_id: str
    count: str
    """Which one: `log` is whether a line is counted at all; window and metric, as in `all/orders`, a board's; `history/…` a sum's."""
    expected: int
    actual: int


def root_of(category_id: str) -> str:
    """The first level of a category."""
    return category_id.partition(".")[0]


def with_ancestors(category_id: str) -> Iterator[str]:
    """The category and everything above it: a line counts for each of them."""
    yield category_id
    while (cut := category_id.rfind(".")) >= 0:
        category_id = category_id[:cut]
        yield category_id


def hour_of(time: datetime) -> int:
    """Hours since 1970, rounded down."""
    return int(time.timestamp()) // SECONDS_IN_HOUR


def left_at(hour: int) -> int:
    """The last hour that is outside a 24-hour window when `hour` is the current one."""
    return hour - HOURS_IN_WINDOW


def add_up(lines: Iterable[Line]) -> dict[Cell, Amounts]:
    """The lines of each category, product, currency and hour added up; cells that come to nothing are left out."""
    sums: dict[Cell, Amounts] = {}
    for line in lines:
        cell = (line.category_id, line.product_id, line.currency, line.hour)
        orders, units, revenue = sums.get(cell, (0, 0, 0))
        sums[cell] = (orders + line.sign, units + line.sign * line.quantity, revenue + line.sign * line.net_amount)
    return {cell: amounts for cell, amounts in sums.items() if any(amounts)}


def spread(sums: Mapping[Cell, Amounts]) -> dict[Cell, Amounts]:
    """Sums of leaf categories carried over to every ancestor."""
    spread_out: dict[Cell, Amounts] = {}
    for (category_id, product_id, currency, hour), (orders, units, revenue) in sums.items():
        for ancestor in with_ancestors(category_id):
            cell = (ancestor, product_id, currency, hour)
            had = spread_out.get(cell, (0, 0, 0))
            spread_out[cell] = (had[0] + orders, had[1] + units, had[2] + revenue)
    return spread_out


def tally(sums: Mapping[Cell, Amounts], into: dict[Board, dict[str, int]] | None = None) -> dict[Board, dict[str, int]]:
    """What the boards of all categories say after sums of leaf categories; zeros included.

    Args:
        into: what they said before.
    """
    boards: dict[Board, dict[str, int]] = {} if into is None else into
    for (category, product, currency, _), amounts in spread(sums).items():
        for metric, amount in zip(Metric, amounts, strict=True):
            board = boards.setdefault((category, metric, currency if metric is Metric.REVENUE else ""), {})
            board[product] = board.get(product, 0) + amount
    return boards


def differing(count: str, board: Board, expected: Mapping[str, int], actual: Mapping[str, int]) -> list[Difference]:
    """Where a board, by product, isn't as it should be."""
    category, metric, _ = board
    return [
        Difference(category, product, f"{count}/{metric}", wanted, there)
        for product in sorted(expected.keys() | actual.keys())
        if (wanted := expected.get(product, 0)) != (there := actual.get(product, 0))
    ]


def top(counts: Iterable[Count], metric: Metric, limit: int) -> list[Count]:
    """The first `limit` of those that have any of the metric; of revenue, in the currency asked for.

    Amounts below zero are of lines whose taking back was heard of before their placing.
    """
    ranked = (count for count in counts if getattr(count, metric) > 0)
    return sorted(ranked, key=lambda count: count.order_by(metric))[:limit]


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """The items in order, so many at a time."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
