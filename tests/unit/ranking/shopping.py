"""What random customers order and give back."""

from __future__ import annotations

import random

from services.ranking.model import Line
from tests.ranked import HOUR, back, line

CATEGORIES = ["garden", "garden.tools", "garden.tools.saws", "garden.tools-old", "kitchen.pots", "kitchen.pots.small", "toys"]
PRODUCTS = ["a", "b", "B", "Z", "a-1", "a.1", "a_1", "saw", "x" * 128, *(f"p{number}" for number in range(12))]


def shopping(choice: random.Random, count: int) -> list[Line]:
    """Lines with many ties, of two days and two currencies; some taken back, some of these before their placing or without one."""
    lines: list[Line] = []
    for _ in range(count):
        placed = line(
            choice.choice(PRODUCTS),
            choice.randint(1, 3),
            category_id=choice.choice(CATEGORIES),
            currency=choice.choice(["INR", "INR", "USD"]),
            net_amount=choice.choice([0, 50, 50, 100, 1999]),
            hour=HOUR - choice.choice([0, 0, 1, 5, 22, 23, 24, 25, 30, 47]),
        )
        kind = choice.random()
        if kind < 0.7:
            lines.append(placed)
        elif kind < 0.85:
            lines += [placed, back(placed)]
        elif kind < 0.95:
            lines += [back(placed), placed]
        else:
            lines.append(back(placed))
    return lines
