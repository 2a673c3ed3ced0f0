"""The rules of the rankings: what a line counts for, in which window, and who stands before whom."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, TypeVar

from services.kit.errors import FailedPrecondition, NotFound
from services.kit.values import value

MINUTES_IN_HOUR = 60
SECONDS_IN_MINUTE = 60

T = TypeVar("T")


class Metric(StrEnum):
    """What is counted."""

    ORDERS = "orders"
    UNITS = "units"
    REVENUE = "revenue"


class Window(StrEnum):
    """Over which time: the bucket of minutes that is going on and those before it, so many in all; or all time.

    The one declaration of what windows there are: tables, boards and scripts know none by name.
    """

    ALL = "all"
    LAST_HOUR = "1h", 1, 60
    LAST_24_HOURS = "24h", MINUTES_IN_HOUR, 24
    LAST_7_DAYS = "7d", MINUTES_IN_HOUR, 7 * 24
    LAST_30_DAYS = "30d", MINUTES_IN_HOUR, 30 * 24

    bucket_minutes: int
    buckets: int

    def __new__(cls, name: str, bucket_minutes: int = 0, buckets: int = 0) -> Window:
        window = str.__new__(cls, name)
        window._value_ = name
        window.bucket_minutes, window.buckets = bucket_minutes, buckets
        return window

    def left_at(self, minute: int) -> int:
        """The last minute that is outside of it when `minute` is the current one; −1 when none ever is."""
        if not self.buckets:
            return -1
        return (minute // self.bucket_minutes - self.buckets + 1) * self.bucket_minutes - 1


ROLLING = tuple(window for window in Window if window.buckets)
"""The windows that lines leave again."""

Lefts = Mapping[Window, int]
"""The last minute that is outside of each rolling window."""


class ProductNotRanked(NotFound):
    """Nobody has ordered the product in this category and window."""

    reason = "PRODUCT_NOT_RANKED"


class RebuildInProgress(FailedPrecondition):
    """A new version is being built already."""

    reason = "REBUILD_IN_PROGRESS"


class Line(NamedTuple):
    """One order line, placed or taken back. A tuple, because many thousands a second are made."""

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
    minute: int
    """Minutes since 1970 of the order's placing, for a line taken back too: when it has left a window, the line changes that no more."""

    @property
    def root(self) -> str:
        return root_of(self.category_id)


@value
class Query:
    """Which ranking is asked for."""

    category: str
    metric: Metric
    window: Window
    currency: str

    @property
    def root(self) -> str:
        return root_of(self.category)


@value
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
"""What lines are added up by: category id, product id, currency, minute (0 in sums over a time)."""

Amounts = tuple[int, int, int]
"""Orders, units, revenue."""

_NOTHING: Amounts = (0, 0, 0)

Board = tuple[str, Metric, str]
"""A list of products by amount: category id, metric, currency (of revenue; empty otherwise)."""


@value
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


def minute_of(time: datetime) -> int:
    """Minutes since 1970, rounded down."""
    return int(time.timestamp()) // SECONDS_IN_MINUTE


def lefts_at(minute: int) -> Lefts:
    """Where every rolling window ends when `minute` is the current one."""
    return {window: window.left_at(minute) for window in ROLLING}


def add_up(lines: Iterable[Line]) -> dict[Cell, Amounts]:
    """The lines of each category, product, currency and minute added up; cells that come to nothing are left out."""
    sums: dict[Cell, Amounts] = {}
    for line in lines:
        cell = (line.category_id, line.product_id, line.currency, line.minute)
        orders, units, revenue = sums.get(cell, _NOTHING)
        sums[cell] = (orders + line.sign, units + line.sign * line.quantity, revenue + line.sign * line.net_amount)
    return {cell: amounts for cell, amounts in sums.items() if any(amounts)}


def spread(sums: Mapping[Cell, Amounts]) -> dict[Cell, Amounts]:
    """Sums of leaf categories carried over to every ancestor."""
    spread_out: dict[Cell, Amounts] = {}
    for (category_id, product_id, currency, minute), (orders, units, revenue) in sums.items():
        for ancestor in with_ancestors(category_id):
            cell = (ancestor, product_id, currency, minute)
            had = spread_out.get(cell, _NOTHING)
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
