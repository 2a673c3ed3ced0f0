"""Counts what a replay must come to, straight from the files: no code of the services' or the importer's."""

from __future__ import annotations

import csv
import gzip
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

METRICS = ("orders", "units", "revenue")


@dataclass
class Count:
    """What one product came to in one category."""

    orders: int = 0
    units: int = 0
    revenue: int = 0
    """In cents, at list prices."""


class Recount:
    """The first `limit` baskets of a directory in the layout of the Complete Journey.

    The rules: a basket is an order, lines of one product are added up; a line with quantity 0 or nothing paid is refused, and so is one of
    a product in no product file; a basket with no line left is no order. The list price is the median unit price before the shop's
    discounts over all lines of the file that were sold, to the cent (half-even), and at least one. A category is every prefix of the slugs.
    """

    def __init__(self, directory: Path, limit: int | None = None) -> None:
        self.refused_lines = 0
        self.refused_baskets = 0
        self.orders = 0
        self.by_category: dict[str, dict[str, Count]] = defaultdict(lambda: defaultdict(Count))
        paths = {row["product_id"]: _path(row) for row in _rows(directory / "products.csv.gz")}
        lines = list(_rows(directory / "transactions.csv.gz"))
        prices = _list_prices(lines)
        baskets: dict[str, dict[str, int]] = {}
        for line in lines:
            if line["basket_id"] not in baskets and len(baskets) == limit:
                break
            basket = baskets.setdefault(line["basket_id"], {})
            if not _sold(line) or line["product_id"] not in paths:
                self.refused_lines += 1
                continue
            basket[line["product_id"]] = basket.get(line["product_id"], 0) + int(line["quantity"])
        for basket in baskets.values():
            self.orders += bool(basket)
            self.refused_baskets += not basket
            for product, units in basket.items():
                for category in paths[product]:
                    count = self.by_category[category][product]
                    count.orders += 1
                    count.units += units
                    count.revenue += units * prices[product]

    def ranked(self, category: str, metric: str) -> list[tuple[str, int, int, int]]:
        """(product, orders, units, revenue), best first; of equals, the one with more units, then the smaller id in byte order."""
        counts = self.by_category[category].items()
        ordered = sorted(counts, key=lambda each: (-getattr(each[1], metric), -each[1].units, each[0].encode()))
        return [(product, count.orders, count.units, count.revenue) for product, count in ordered]


def _list_prices(lines: list[dict[str, str]]) -> dict[str, int]:
    found: dict[str, list[Fraction]] = defaultdict(list)
    for line in lines:
        if _sold(line):
            before = Fraction(line["sales_value"]) + Fraction(line["retail_disc"]) + Fraction(line["coupon_match_disc"])
            found[line["product_id"]].append(before / int(line["quantity"]))
    return {product: max(1, _half_even(100 * _median(prices))) for product, prices in found.items()}


def _median(values: list[Fraction]) -> Fraction:
    ordered, middle = sorted(values), len(values) // 2
    return ordered[middle] if len(values) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def _half_even(value: Fraction) -> int:
    whole, rest = divmod(value, 1)
    return int(whole) + (rest > Fraction(1, 2) or (rest == Fraction(1, 2) and whole % 2 == 1))


def _sold(line: dict[str, str]) -> bool:
    return int(line["quantity"]) != 0 and Fraction(line["sales_value"]) > 0


def _path(row: dict[str, str]) -> list[str]:
    levels = [row[name] for name in ("department", "product_category", "product_type")]
    slugs = [re.sub("[^a-z0-9]+", "-", level.lower()).strip("-") for level in levels if level not in ("", "NA")]
    named = [slug for slug in slugs if slug]
    return [".".join(named[: depth + 1]) for depth in range(len(named))]


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with gzip.open(path, "rt", newline="", encoding="utf-8") as file:
        yield from csv.DictReader(file)
