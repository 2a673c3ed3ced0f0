"""Stands in for what a ranking asks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from bazaar.ranking.v1 import ranking_pb2
from services.ranking.details import Told


class Catalogue:
    """Stands in for the services that know products: titles that change with every read, except of `unknown`."""

    def __init__(self) -> None:
        self.reads: list[list[str]] = []
        self.away: frozenset[str] = frozenset()
        self.let_go = asyncio.Event()
        """Cleared, reads wait for it."""
        self.let_go.set()

    async def of(self, product_ids: Sequence[str]) -> Told:
        self.reads.append(list(product_ids))
        title = f"read {len(self.reads)}"
        await self.let_go.wait()
        known = [product_id for product_id in product_ids if product_id != "unknown"]
        return Told({product_id: ranking_pb2.ProductDetails(title=title) for product_id in known}, self.away)
