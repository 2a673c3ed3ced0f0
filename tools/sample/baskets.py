"""Made-up shopping: who bought what, when."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate

from tools.sample.catalogue import Item

SEED = 20260102
OPENING = datetime(2026, 1, 1, 8, tzinfo=UTC)
FIRST_BASKET = 70_000_000_001
HOUSEHOLDS = 120
MOST_LINES = 9
BLEMISHES = 60
"""One line in so many was given away, or is of a product that nobody knows, as in real files."""


@dataclass(frozen=True)
class Line:
    """A line of a till receipt."""

    basket_id: str
    household_id: str
    product_id: str
    quantity: int
    paid_cents: int
    discount_cents: int
    bought_at: datetime


def shopping(items: Sequence[Item], baskets: int, *, households: int = HOUSEHOLDS, seed: int = SEED) -> Iterator[Line]:
    """The lines of so many baskets, in time order; the same every time.

    Popularity follows Zipf's law over the shuffled items. Some products come on two lines of a basket, and some lines are to be refused.
    """
    chance = random.Random(seed)
    by_popularity = list(items)
    chance.shuffle(by_popularity)
    weights = list(accumulate(1 / rank for rank in range(1, len(items) + 1)))
    moment = OPENING
    for number in range(baskets):
        moment += timedelta(seconds=chance.randrange(30, 900))
        household = str(chance.randrange(1, households + 1))
        for item in chance.choices(by_popularity, cum_weights=weights, k=_size(chance)):
            yield _line(str(FIRST_BASKET + number), household, item, moment, chance)


def _size(chance: random.Random) -> int:
    """Half of all visits are for a single thing."""
    return next((size for size in range(1, MOST_LINES) if chance.random() < 0.5), MOST_LINES)


def _line(basket_id: str, household_id: str, item: Item, moment: datetime, chance: random.Random) -> Line:
    quantity = chance.choices((1, 2, 3, 6), (80, 13, 5, 2))[0]
    full = item.cents * quantity
    discount = full // 10 if chance.random() < 0.2 else 0
    product_id, blemish = item.product_id, chance.randrange(BLEMISHES)
    if blemish == 0:
        quantity, discount, full = 0, 0, 0
    elif blemish == 1:
        product_id = f"9{item.product_id}"
    return Line(basket_id, household_id, product_id, quantity, full - discount, discount, moment)
