"""Facets, in the aggregations that both engines understand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.search.index import Facets
from services.search.model import Query

_CATEGORIES, _BRANDS, _STEPS, _STARS = 100, 50, 100, (4, 3, 2, 1)
_HUNDREDTHS = 100


def aggregations(query: Query) -> dict[str, Any]:
    """What is to be counted."""
    below = query.filters.category.replace(".", "\\.") + "\\." if query.filters.category else ""
    counted: dict[str, Any] = {
        "categories": {"terms": {"field": "ancestors", "size": _CATEGORIES, "include": f"{below}[a-z0-9-]+"}},
        "brands": {"terms": {"field": "brand", "size": _BRANDS}},
        "ratings": {"histogram": {"field": "rated", "interval": _HUNDREDTHS, "min_doc_count": 1}},
        "availability": {"terms": {"field": "in_stock", "size": 2}},
    }
    if query.price_step:
        first = (query.filters.price_min or 0) // query.price_step * query.price_step
        # Without bounds a step of a cent would make as many ranges as there are prices.
        bounds = {"min": first, "max": first + _STEPS * query.price_step - 1}
        counted["prices"] = {"histogram": {"field": "price", "interval": query.price_step, "min_doc_count": 1, "hard_bounds": bounds}}
    return counted


def facets_of(query: Query, answer: Mapping[str, Any]) -> Facets:
    """What was counted."""
    ratings = {int(key) // _HUNDREDTHS: count for key, count in _buckets(answer, "ratings")}
    in_stock = {int(key): count for key, count in _buckets(answer, "availability")}
    return Facets(
        categories=_most_first(answer, "categories"),
        brands=_most_first(answer, "brands"),
        prices={int(key): count for key, count in sorted(_buckets(answer, "prices"))},
        price_step=query.price_step,
        ratings={star: sum(count for stars, count in ratings.items() if stars >= star) for star in _STARS},
        in_stock=in_stock.get(1, 0),
        out_of_stock=in_stock.get(0, 0),
    )


def _most_first(answer: Mapping[str, Any], name: str) -> dict[str, int]:
    return dict(sorted(_buckets(answer, name), key=lambda bucket: (-bucket[1], bucket[0])))


def _buckets(answer: Mapping[str, Any], name: str) -> list[tuple[Any, int]]:
    return [(bucket["key"], bucket["doc_count"]) for bucket in answer.get(name, {}).get("buckets", [])]
