# pyright: strict
"""What could be bought of a SKU, and when that is news."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from services.inventory.model import Balance
from services.kit.values import value

LOW = 10
"""Units. At so many, somebody should order more."""


class News(StrEnum):
    """A threshold that was crossed."""

    LOW = "LOW"
    OUT = "OUT"
    BACK = "BACK"


@value
class Level:
    """What could be bought of a SKU, all warehouses together."""

    sku: str
    available: int
    version: int
    """Of two readings the one with the higher version is newer."""


def level(sku: str, balances: Iterable[Balance]) -> Level:
    """The level of a SKU that has these balances."""
    available = version = 0
    for balance in balances:
        available += balance.available
        version += balance.version
    return Level(sku, available, version)


def news(before: int, after: int) -> News | None:
    """Which threshold so many available units have crossed; None when none was."""
    if after <= 0:
        return News.OUT if before > 0 else None
    if before <= 0:
        return News.BACK
    return News.LOW if after <= LOW < before else None


def crossings(before: Iterable[Balance], after: Iterable[Balance]) -> list[tuple[News, Level]]:
    """What is news of the SKUs whose balances, every warehouse, were so and are so now."""
    was, now = _by_sku(before), _by_sku(after)
    found: list[tuple[News, Level]] = []
    for sku, balances in now.items():
        reached = level(sku, balances)
        if told := news(level(sku, was.get(sku, ())).available, reached.available):
            found.append((told, reached))
    return found


def _by_sku(balances: Iterable[Balance]) -> dict[str, list[Balance]]:
    found: dict[str, list[Balance]] = {}
    for balance in balances:
        found.setdefault(balance.sku, []).append(balance)
    return found
