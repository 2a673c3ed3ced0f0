"""The port to the engine that finds products. Two adapters pass its contract, tests/contract/test_product_index.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from datetime import timedelta
from typing import Protocol

from services.kit.connections import Unconfigured
from services.kit.errors import Unavailable
from services.kit.values import value
from services.search.documents import SCHEMA, Change, Summary
from services.search.model import Position, Query


class IndexAway(Unavailable):
    """The index doesn't answer, or isn't filled yet."""

    def __init__(self, message: str = "the index is away") -> None:
        super().__init__(message, retry_after=timedelta(seconds=1))


@value
class Facets:
    """How all results are spread, by what they are counted by."""

    categories: dict[str, int] = field(default_factory=dict[str, int])
    """Directly below the category of the question."""
    brands: dict[str, int] = field(default_factory=dict[str, int])
    prices: dict[int, int] = field(default_factory=dict[int, int])
    """By the lower end of the range, in minor units."""
    price_step: int = 0
    """How wide the ranges are."""
    ratings: dict[int, int] = field(default_factory=dict[int, int])
    """By stars, or more."""
    in_stock: int = 0
    out_of_stock: int = 0


@value
class Hit:
    """A result, and where it stands."""

    product: Summary
    position: Position


@value
class Found:
    """A part of the results."""

    hits: Sequence[Hit]
    has_more: bool
    total: int
    facets: Facets | None = None


class ProductIndex(Protocol):
    """Copies of an index, one of which answers.

    Raises, from every method: IndexAway.
    """

    is_shared: bool
    """One index for all processes, which one of them feeds; otherwise each process has, and feeds, its own."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def live(self) -> str | None:
        """The copy that answers; None before the first flip, or when it is lost."""
        ...

    async def position(self, copy: str) -> int:
        """Up to where a copy was fed; 0 for one that isn't there."""
        ...

    async def put(self, copy: str, changes: Sequence[Change], position: int) -> None:
        """Brings a copy, made if need be, up to a position. What it has of a product from a later change stays. Then it can be found."""
        ...

    async def count(self, copy: str) -> int:
        """Products in a copy."""
        ...

    async def flip(self, copy: str) -> None:
        """Has a copy answer from now on, without a gap. The one that answered is kept for the way back; all others are dropped."""
        ...

    async def search(self, query: Query) -> Found:
        """Asks the copy that answers."""
        ...


def copy_of(generation: int) -> str:
    """The name of a copy."""
    return f"v{SCHEMA}-{generation}"


def open_index(url: str, process: str) -> ProductIndex:
    """The index at a URL: `file:///folder` (below which each process has its own) or `https://user:password@host:9200?ca=file`.

    Raises:
        Unconfigured: the URL is neither.
    """
    if url.startswith("file:///"):
        from services.search.tantivy_index import TantivyIndex

        return TantivyIndex.at(url.removeprefix("file://"), process)
    if url.startswith(("http://", "https://")):
        # A client of some megabytes, which a shop without OpenSearch has no use for.
        from services.search.opensearch_index import OpenSearchIndex

        return OpenSearchIndex(url)
    raise Unconfigured("BAZAAR_SEARCH_URL should begin with file:/// or https://; search needs one of them.")
