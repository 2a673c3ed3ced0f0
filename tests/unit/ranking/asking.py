"""Stands in for what a ranking asks."""

from __future__ import annotations

from collections.abc import Sequence

from bazaar.ranking.v1 import ranking_pb2


class Catalogue:
    """Stands in for the services that know products: titles that change with every read, except of `unknown`."""

    def __init__(self) -> None:
        self.reads: list[list[str]] = []

    async def of(self, product_ids: Sequence[str]) -> dict[str, ranking_pb2.ProductDetails]:
        self.reads.append(list(product_ids))
        title = f"read {len(self.reads)}"
        return {product_id: ranking_pb2.ProductDetails(title=title) for product_id in product_ids if product_id != "unknown"}
