"""A thousand made-up products."""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import product as every

from tools.sample.shelves import BRANDS, SHELVES, Shelf

SEED = 20260101
PRODUCTS = 1000
FIRST_ID = 100_001
CURRENCY = "USD"


@dataclass(frozen=True)
class Item:
    """A product with one SKU, which has its id."""

    product_id: str
    name: str
    size: str
    brand: str
    path: tuple[str, ...]
    cents: int
    stock: int

    @property
    def title(self) -> str:
        return f"{self.brand} {self.name}, {self.size}"


def catalogue(count: int = PRODUCTS, seed: int = SEED) -> list[Item]:
    """The products, spread evenly over the shelves; the same every time.

    Raises:
        ValueError: more are wanted than there are different ones.
    """
    chance = random.Random(seed)
    shelves = [_names(shelf, chance) for shelf in SHELVES]
    if count > len(SHELVES) * min(map(len, shelves)):
        raise ValueError(f"there are no {count} different products")
    return [_item(number, SHELVES[number % len(SHELVES)], shelves[number % len(SHELVES)].pop(), chance) for number in range(count)]


def _names(shelf: Shelf, chance: random.Random) -> list[tuple[str, str, str]]:
    """Every brand, name and size there could be, shuffled."""
    names = [
        (brand, f"{kind} {thing}", size)
        for brand, kind, thing, size in every(BRANDS[shelf.path[0]], shelf.kinds, shelf.things, shelf.sizes)
    ]
    chance.shuffle(names)
    return names


def _item(number: int, shelf: Shelf, words: tuple[str, str, str], chance: random.Random) -> Item:
    brand, name, size = words
    cheapest, dearest = shelf.cents
    # Prices end in 9, and most are low.
    cents = int(cheapest + (dearest - cheapest) * chance.random() ** 2) // 10 * 10 + 9
    return Item(str(FIRST_ID + number), name, size, brand, shelf.path, cents, chance.randrange(200, 2000))
