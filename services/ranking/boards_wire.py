"""What goes to the boards' scripts and what comes back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from services.kit.values import value
from services.ranking.model import ROLLING, Amounts, Cell, Lefts, Line, Metric, Query, Window, spread


@value
class Head:
    """How far a board has come."""

    applied: int
    lefts: Lefts
    """Of the windows that were asked for."""
    leaving: frozenset[Window]
    """The windows that minutes are being taken out of just now."""

    def shows(self, window: Window, left: int) -> bool:
        """Whether the board is the whole truth of a window, when `left` is the last minute outside of it."""
        return self.lefts.get(window, -1) == left and window not in self.leaving


@dataclass(slots=True)
class Step:
    """Lines at positions before+1 … after of a root, as sums of leaf categories over the windows that they count in."""

    root: str
    before: int
    after: int
    lefts: Lefts
    """Where the windows end that the lines were told apart by; unknown when empty."""
    sums: dict[tuple[Window, ...], dict[Cell, Amounts]] = field(default_factory=dict[tuple[Window, ...], dict[Cell, Amounts]])
    _by_minute: dict[int, dict[Cell, Amounts]] = field(default_factory=dict[int, dict[Cell, Amounts]])

    @property
    def cells(self) -> int:
        """How many sums there are."""
        return sum(map(len, self.sums.values()))

    def add(self, lines: Iterable[Line]) -> None:
        """Takes in the lines at the next positions."""
        for line in lines:
            sums = self._by_minute.get(line.minute)
            if sums is None:
                windows = (Window.ALL, *(window for window, left in self.lefts.items() if line.minute > left))
                sums = self._by_minute[line.minute] = self.sums.setdefault(windows, {})
            cell = (line.category_id, line.product_id, line.currency, 0)
            orders, units, revenue = sums.get(cell, (0, 0, 0))
            sums[cell] = (orders + line.sign, units + line.sign * line.quantity, revenue + line.sign * line.net_amount)
            self.after += 1

    def packed(self) -> bytes:
        """As apply.lua takes it: one argument, because each costs the client as much as a line costs Redis."""
        return orjson.dumps([value for windows, sums in self.sums.items() for value in packed(spread(sums).items(), windows)])


@value
class Leaving:
    """Minutes on their way out of a board's window."""

    window: Window
    board: str
    after: int
    """The last minute that is out already."""
    upto: int
    """The last minute that has to go."""
    position: int
    """Their lines up to this position are in the window."""
    cells_done: int


def packed(cells: Iterable[tuple[Cell, Amounts]], windows: tuple[Window, ...]) -> list[Any]:
    """Cells of all categories in groups, as add.lua takes them; no cell twice."""
    groups: dict[tuple[str, str], list[str | int]] = {}
    for (category, product, currency, _), amounts in cells:
        groups.setdefault((category, currency), []).extend((product, *amounts))
    cut: list[Any] = []
    for (category, currency), rows in groups.items():
        cut += (category, currency, windows, len(rows) // 4, *rows)
    return cut


def address(query: Query) -> tuple[str, str, str, str]:
    """Window, category, metric and currency, as the reading scripts take them."""
    return query.window.value, query.category, counted(query.metric, query.currency), query.currency


def counted(metric: Metric, currency: str) -> str:
    """A metric as it stands in the name of a board's sorted set."""
    return f"revenue-{currency}" if metric is Metric.REVENUE else metric.value


def head_of(query: Query, answer: Sequence[Any]) -> Head:
    """From a reader's script: applied, left and whether minutes are leaving, of one window."""
    applied, left, is_leaving = answer[:3]
    return Head(int(applied), {query.window: int(left)}, frozenset([query.window] if is_leaving else []))


def whole_head(applied: bytes | None, torn: bytes | None, values: Sequence[bytes | None]) -> Head | None:
    """From a head's fields, `left` of all windows before `after` of all; None unless it is there and whole."""
    lefts, leaving = values[: len(ROLLING)], values[len(ROLLING) :]
    if applied is None or torn or None in lefts:
        return None
    return Head(
        int(applied),
        {window: int(left or 0) for window, left in zip(ROLLING, lefts, strict=True)},
        frozenset(window for window, after in zip(ROLLING, leaving, strict=True) if after),
    )


def whole(score: bytes) -> int:
    """Scores are doubles, exact up to 2^53."""
    return int(float(score))
