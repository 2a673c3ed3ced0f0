"""The ranking servicer."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterable

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from bazaar.ranking.v1 import ranking_pb2, ranking_service_pb2_grpc
from bazaar.ranking.v1 import ranking_service_pb2 as pb
from bazaar.type.v1 import money_pb2
from services.kit.money import exponent
from services.kit.rpc import streams
from services.ranking.audit import Audit
from services.ranking.details import Details
from services.ranking.fresh import Fresh
from services.ranking.model import Count, Metric, ProductNotRanked, Query, Window
from services.ranking.rankings import Answer, Rankings
from services.ranking.shown import Page, Shown

_LIMIT = 10
_WATCH_EVERY_SECONDS = 0.5
_DIFFERENCES_SHOWN = 1000

Top = tuple[Query, int, Page]
"""What an answer is remembered by: the question, and the products' details of then."""

Asked = pb.QueryTopProductsRequest | pb.WatchTopProductsRequest | pb.GetProductRankRequest


class RankingServicer(ranking_service_pb2_grpc.RankingServiceServicer):
    """Answers who is most ordered."""

    def __init__(self, rankings: Rankings, details: Details, audit: Audit, currency: str) -> None:
        self._rankings = rankings
        self._details = details
        self._audit = audit
        self._currency = currency
        self._shown = Shown(details)
        self._tops: Fresh[Top, pb.QueryTopProductsResponse] = Fresh(self._read_top)

    async def QueryTopProducts(self, request: pb.QueryTopProductsRequest, context: grpc.aio.ServicerContext) -> pb.QueryTopProductsResponse:
        return await self._top(self._query(request, request.category), request.limit or _LIMIT)

    async def GetProductRank(self, request: pb.GetProductRankRequest, context: grpc.aio.ServicerContext) -> pb.GetProductRankResponse:
        category = request.category or await self._details.category_of(request.product_id)
        if not category:
            raise ProductNotRanked("The catalogue doesn't know this product's category.", category="", product_id=request.product_id)
        query = self._query(request, category)
        told, (rank, answer) = await asyncio.gather(self._details.of([request.product_id]), self._rankings.rank(query, request.product_id))
        product = _ranked(rank, answer.counts[0], query, told.details)
        return pb.GetProductRankResponse(product=product, category=category, source=_source(answer), degraded=sorted(told.away))

    async def WatchTopProducts(
        self, request: pb.WatchTopProductsRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[pb.WatchTopProductsResponse]:
        query, limit = self._query(request, request.category), request.limit or _LIMIT
        shown = request.last_event_id
        while True:
            top = await self._top(query, limit)
            if (event_id := _digest(top.products)) != shown:
                shown = event_id
                yield pb.WatchTopProductsResponse(
                    products=top.products, source=top.source, as_of=top.as_of, degraded=top.degraded, event_id=event_id
                )
            await streams.begin(context)
            await asyncio.sleep(_WATCH_EVERY_SECONDS)

    async def VerifyRanking(self, request: pb.VerifyRankingRequest, context: grpc.aio.ServicerContext) -> pb.VerifyRankingResponse:
        report = await self._audit.verify(request.root_category)
        return pb.VerifyRankingResponse(
            lines_counted=report.lines_counted,
            difference_count=len(report.differences),
            differences=[
                pb.VerifyRankingResponse.Difference(
                    category=difference.category,
                    product_id=difference.product_id,
                    count=difference.count,
                    expected=difference.expected,
                    actual=difference.actual,
                )
                for difference in report.differences[:_DIFFERENCES_SHOWN]
            ],
        )

    async def RebuildRanking(self, request: pb.RebuildRankingRequest, context: grpc.aio.ServicerContext) -> pb.RebuildRankingResponse:
        generation, counted = await self._audit.rebuild()
        return pb.RebuildRankingResponse(generation=generation, lines_counted=counted)

    def _query(self, request: Asked, category: str) -> Query:
        currency = request.currency or self._currency
        exponent(currency)  # refuses what is no currency
        return Query(category, Metric(request.metric or "orders"), Window(request.window or "all"), currency)

    async def _top(self, query: Query, limit: int) -> pb.QueryTopProductsResponse:
        return await self._tops.get((query, limit, await self._shown.page()))

    async def _read_top(self, key: Top) -> pb.QueryTopProductsResponse:
        query, limit, page = key
        answer = await self._rankings.top(query, limit)
        details = await page.of([count.product_id for count in answer.counts])
        products = [_ranked(rank, count, query, details) for rank, count in enumerate(answer.counts, start=1)]
        read_at = Timestamp()
        read_at.FromDatetime(answer.as_of)
        return pb.QueryTopProductsResponse(products=products, source=_source(answer), as_of=read_at, degraded=sorted(page.away))


def _digest(products: Iterable[ranking_pb2.RankedProduct]) -> str:
    """The same for the same products with the same counts and details."""
    parts = [product.SerializeToString(deterministic=True) for product in products]
    return hashlib.blake2b(b"".join(len(part).to_bytes(4, "big") + part for part in parts), digest_size=12).hexdigest()


def _ranked(rank: int, count: Count, query: Query, details: dict[str, ranking_pb2.ProductDetails]) -> ranking_pb2.RankedProduct:
    return ranking_pb2.RankedProduct(
        rank=rank,
        product_id=count.product_id,
        orders=count.orders,
        units=count.units,
        revenue=money_pb2.Money(currency_code=query.currency, minor_units=count.revenue),
        product=details.get(count.product_id),
    )


def _source(answer: Answer) -> ranking_pb2.Ranking.Source.ValueType:
    return ranking_pb2.Ranking.LIVE if answer.is_live else ranking_pb2.Ranking.HISTORICAL
