"""The details of all products that are shown, read together: most of them stand in several rankings."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence

from bazaar.ranking.v1 import ranking_pb2
from services.kit.rpc.calls import beside
from services.ranking.details import Details

GOOD_FOR_SECONDS = 1.0
_SUCCEEDED_AFTER_SECONDS = 0.7
"""A page's successor is read this long after it was, so that nobody has to wait while there is always somebody who asks."""
_AT_ONCE = 50
"""Products in one call: reading more would hold up the process's other calls."""
_CARRIED_OVER = 1000
"""Products that a page takes over from the one before, at most …"""
_ASKED_WITHIN_SECONDS = 5.0
"""… those that were asked for so lately: read in portions they cost less than when the next who asks reads his few."""


class Page:
    """What is known of products at one moment, `begun_at` or later.

    Args:
        asked: products that were asked for, and when.
    """

    def __init__(self, details: Details, asked: Mapping[str, float]) -> None:
        self.begun_at = time.monotonic()
        self._details = details
        self._known: dict[str, ranking_pb2.ProductDetails | None] = {}
        self._asked = dict(asked)
        self.away: frozenset[str] = frozenset()
        """The services that couldn't be asked when details were read for it."""

    @property
    def age(self) -> float:
        """Seconds since it was begun."""
        return time.monotonic() - self.begun_at

    async def of(self, product_ids: Sequence[str]) -> dict[str, ranking_pb2.ProductDetails]:
        """Details by product id; products that can't be told of are left out."""
        self._asked.update(dict.fromkeys(product_ids, time.monotonic()))
        if missing := [product_id for product_id in product_ids if product_id not in self._known]:
            await self._read(missing)
        return {product_id: details for product_id in product_ids if (details := self._known[product_id])}

    def blank(self) -> Page:
        """A page that knows nothing yet but what this one was asked for lately."""
        since = time.monotonic() - _ASKED_WITHIN_SECONDS
        lately = [(product_id, at) for product_id, at in self._asked.items() if at >= since]
        return Page(self._details, dict(lately[:_CARRIED_OVER]))

    async def successor(self) -> Page:
        """What is known now of the products that this page was asked for lately."""
        page = self.blank()
        asked = list(page._asked)
        for start in range(0, len(asked), _AT_ONCE):
            await page._read(asked[start : start + _AT_ONCE])
        return page

    async def _read(self, product_ids: Collection[str]) -> None:
        found = await self._details.of(list(product_ids))
        self._known.update({product_id: found.details.get(product_id) for product_id in product_ids})
        self.away |= found.away


class Shown:
    """The page that answers are written from. Nothing on it is older than a second."""

    def __init__(self, details: Details) -> None:
        self._page = Page(details, {})
        self._next: asyncio.Task[None] | None = None

    async def page(self) -> Page:
        """The page of now. Answers that were written from the same page differ in nothing but counts."""
        if GOOD_FOR_SECONDS >= self._page.age > _SUCCEEDED_AFTER_SECONDS and self._next is None:
            self._next = beside(self._turn())
        if self._page.age > GOOD_FOR_SECONDS and self._next:
            # It is there sooner than what everybody would read by himself.
            await asyncio.wait([self._next])
        if self._page.age > GOOD_FOR_SECONDS:
            self._page = self._page.blank()
        return self._page

    async def _turn(self) -> None:
        try:
            page = await self._page.successor()
            if page.begun_at > self._page.begun_at:
                self._page = page
        finally:
            self._next = None
