"""How popular products are: units of the last 30 days, of the 100 that lead each root category. All others are equally unpopular."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bazaar.ranking.v1 import ranking_service_pb2 as pb
from services.search.store import SearchStore

if TYPE_CHECKING:
    from bazaar.ranking.v1.ranking_service_pb2_grpc import RankingServiceAsyncStub

_LEADING = 100
_SECONDS = 5.0


class Popularity:
    """Asks the rankings. An event for each order would tell more, at the cost of work for each order."""

    def __init__(self, store: SearchStore, ranking: RankingServiceAsyncStub) -> None:
        self._store = store
        self._ranking = ranking

    async def read(self) -> None:
        """Takes over how popular products are now.

        Raises:
            grpc.aio.AioRpcError: the rankings are away.
        """
        units: dict[str, int] = {}
        for root in await self._store.roots():
            asked = pb.QueryTopProductsRequest(category=root, limit=_LEADING, metric="units", window="30d")
            answer = await self._ranking.QueryTopProducts(asked, timeout=_SECONDS)
            units.update({product.product_id: product.units for product in answer.products})
        await self._store.put_popularity(units)
