"""Products as the index has them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from services.kit.values import value
from services.search.model import words_of

SCHEMA = 1
"""One more whenever the fields below change: copies of the index with other fields are filled anew, beside those that answer."""

EXACT = ("product_id", "brand", "ancestors")
NUMBERS = ("price", "in_stock", "cheapest", "dearest", "newest", "rated", "standing", "position")
"""Fields beside those with words (`model.WEIGHTS`) and what is shown."""

MOST_DESCRIPTION = 2000
"""Characters of a description that are searched."""

_MOST_PRICE = 2**52
_MOST_POPULARITY = 2**22 - 1
_TIE_BITS = 40


@value
class Summary:
    """What a page of results shows of a product; the index holds it."""

    product_id: str
    title: str
    brand: str
    category_id: str
    image_url: str
    price: int | None
    """Minor units of the shop's currency."""
    in_stock: bool
    rating: int
    """Hundredths of a star; 0: nobody has rated."""


@value
class Document:
    """A product on sale."""

    summary: Summary
    description: str
    category_path: Sequence[str]
    created_at: datetime | None
    popularity: int


@value
class Change:
    """What a product has become."""

    product_id: str
    position: int
    """Of this change; the larger the later."""
    document: Document | None
    """None: it isn't on sale any more."""


def fields_of(document: Document, position: int) -> dict[str, Any]:
    """What the index keeps of a product, in every engine: words to look for, values to filter, count and sort by, and what is shown.

    The larger of `standing`, `cheapest`, `dearest`, `newest` and `rated` comes first.
    """
    shown = document.summary
    price = shown.price
    fields: dict[str, Any] = {
        "product_id": shown.product_id,
        "title": _joined(shown.title),
        "brand_words": _joined(shown.brand),
        "category_words": _joined(" ".join(document.category_path)),
        "description": _joined(document.description[:MOST_DESCRIPTION]),
        "ancestors": _ancestors(shown.category_id),
        "in_stock": int(shown.in_stock),
        "cheapest": 0 if price is None else max(1, _MOST_PRICE - price),
        "dearest": 0 if price is None else price + 1,
        "newest": int(document.created_at.timestamp() * 1000) if document.created_at else 0,
        "rated": shown.rating,
        "standing": standing_of(shown.product_id, document.popularity),
        "position": position,
        "shown": asdict(shown),
    }
    if shown.brand:
        fields["brand"] = shown.brand
    if price is not None:
        fields["price"] = price
    return fields


def standing_of(product_id: str, popularity: int) -> int:
    """Popularity, and what tells the equally popular apart: bits of the id's hash, the same in every copy. Fits into 62 bits."""
    tie = int.from_bytes(hashlib.blake2b(product_id.encode(), digest_size=_TIE_BITS // 8).digest(), "big")
    return min(popularity, _MOST_POPULARITY) << _TIE_BITS | tie


def _joined(text: str) -> str:
    return " ".join(words_of(text))


def _ancestors(category_id: str) -> list[str]:
    parts = category_id.split(".")
    return [".".join(parts[: depth + 1]) for depth in range(len(parts))]
