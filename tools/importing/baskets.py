"""The baskets of the Complete Journey, each to be replayed as one order of its household."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from tools.importing.complete_journey import BoughtLine, bought_lines, product_ids
from tools.importing.records import Progress

NOT_SOLD = "quantity 0 or nothing paid"
NO_SUCH_PRODUCT = "product in no product file"
NO_LINE_LEFT = "no line left"


@dataclass(frozen=True, slots=True)
class Basket:
    """One visit of a household to the shop."""

    basket_id: str
    household_id: str
    bought_at: str
    """Of its first line; ISO 8601, UTC."""
    units: dict[str, int]
    """By product id, in the order of the lines; lines of one product are added up."""


@dataclass(frozen=True, slots=True)
class RefusedLine:
    """A line that is in no order."""

    line: int
    basket_id: str
    product_id: str
    reason: str
    """NOT_SOLD or NO_SUCH_PRODUCT; the former when both are true."""


@dataclass(frozen=True, slots=True)
class RefusedOrder:
    """A basket of which no line is left."""

    basket_id: str
    household_id: str
    reason: str = NO_LINE_LEFT


@dataclass(slots=True)
class BasketReader:
    """Iterates over the first `limit` baskets of a directory, in the file's order; the refused ones count among them.

    Yields the refused lines of a basket, then the basket, or what refuses it whole. The counts are of what was yielded so far.

    Raises:
        ExpectedFailure: while iterating: a file is missing, or not such a file.
    """

    directory: Path
    limit: int | None = None
    progress: Progress | None = None
    """Told the lines read."""
    baskets: int = 0
    refused_lines: Counter[str] = field(default_factory=Counter)
    """By reason."""
    refused_orders: Counter[str] = field(default_factory=Counter)
    """By reason."""

    def __iter__(self) -> Iterator[Basket | RefusedLine | RefusedOrder]:
        known = product_ids(self.directory)
        baskets = groupby(bought_lines(self.directory, self.progress), key=lambda line: line.basket_id)
        for place, (_, lines) in enumerate(baskets):
            if place == self.limit:
                return
            yield from self._basket(list(lines), known)

    def _basket(self, lines: list[BoughtLine], known: set[str]) -> Iterator[Basket | RefusedLine | RefusedOrder]:
        first = lines[0]
        units: dict[str, int] = {}
        for line in lines:
            if reason := _refusal(line, known):
                self.refused_lines[reason] += 1
                yield RefusedLine(line.line, line.basket_id, line.product_id, reason)
            else:
                units[line.product_id] = units.get(line.product_id, 0) + line.quantity
        if units:
            self.baskets += 1
            yield Basket(first.basket_id, first.household_id, first.bought_at, units)
        else:
            self.refused_orders[NO_LINE_LEFT] += 1
            yield RefusedOrder(first.basket_id, first.household_id)


def _refusal(line: BoughtLine, known: set[str]) -> str:
    if not line.is_sale:
        return NOT_SOLD
    return "" if line.product_id in known else NO_SUCH_PRODUCT
