"""What random customers order and give back."""

from __future__ import annotations

import random

from services.ranking.model import Line
from tests.ranked import MINUTE, back, line

CATEGORIES = ["garden", "garden.tools", "garden.tools.saws", "garden.tools-old", "kitchen.pots", "kitchen.pots.small", "toys"]
AGES = [0, 0, 1, 29, 30, 31, 58, 59, 60, 61, *(60 * hours for hours in (5, 22, 23, 24, 25, 47, 166, 167, 168, 200, 718, 719, 720, 900))]
"""Minutes; many near the edges of windows."""
PRODUCTS = ["a", "b", "B", "Z", "a-1", "a.1", "a_1", "saw", "x" * 128, *(f"p{number}" for number in range(12))]


def shopping(choice: random.Random, count: int) -> list[Line]:
    """Lines with many ties, of every window and two currencies; some taken back, some of these before their placing or without one."""
    lines: list[Line] = []
    for _ in range(count):
        placed = line(
            choice.choice(PRODUCTS),
            choice.randint(1, 3),
            category_id=choice.choice(CATEGORIES),
            currency=choice.choice(["INR", "INR", "USD"]),
            net_amount=choice.choice([0, 50, 50, 100, 1999]),
            minute=MINUTE - choice.choice(AGES),
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
