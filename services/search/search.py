"""A question and its answer: from the index, and while that is away from what is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc

from bazaar.catalog.v1 import catalog_service_pb2 as catalog_pb
from bazaar.search.v1 import search_service_pb2 as pb
from services.kit.paging import REACHABLE_BY_PAGE, PageTokens
from services.search import wire
from services.search.index import IndexAway, ProductIndex
from services.search.kept import KeptPages
from services.search.model import Query

if TYPE_CHECKING:
    from bazaar.catalog.v1.catalog_service_pb2_grpc import CatalogServiceAsyncStub

_LISTING_SECONDS = 2.0


class Search:
    """Finds products; while the index is away, shows what there is."""

    def __init__(self, index: ProductIndex, kept: KeptPages, catalog: CatalogServiceAsyncStub, pages: PageTokens, currency: str) -> None:
        self._index = index
        self._kept = kept
        self._catalog = catalog
        self._pages = pages
        self._currency = currency

    async def answer(self, request: pb.SearchProductsRequest) -> pb.SearchProductsResponse:
        """The page that is asked for.

        Raises:
            InvalidArgument: see `wire.query_of`.
            grpc.aio.AioRpcError: index, kept pages and catalogue are all away.
        """
        query = wire.query_of(request, self._currency, self._pages)
        try:
            response = await self._found(request, query)
        except IndexAway:
            return await self._degraded(request, query)
        self._kept.keep(request, response)
        return response

    async def _found(self, request: pb.SearchProductsRequest, query: Query) -> pb.SearchProductsResponse:
        found = await self._index.search(query)
        is_fuzzy = bool(query.words) and not found.total
        if is_fuzzy:
            found = await self._index.search(query.fuzzy())
        shown = query.slice.skip + len(found.hits)
        token = ""
        if found.has_more and found.hits and shown < REACHABLE_BY_PAGE:
            token = self._pages.encode(wire.question(request), [shown, *found.hits[-1].position])
        return wire.response(found, self._currency, is_fuzzy=is_fuzzy, next_page_token=token)

    async def _degraded(self, request: pb.SearchProductsRequest, query: Query) -> pb.SearchProductsResponse:
        """The page as it was kept, else a page of the category's listing."""
        response = await self._kept.find(request) or await self._listed(request, query)
        response.source = pb.SearchProductsResponse.DEGRADED
        return response

    async def _listed(self, request: pb.SearchProductsRequest, query: Query) -> pb.SearchProductsResponse:
        size, page = query.slice.size, query.slice.skip // query.slice.size + 1
        asked = catalog_pb.ListProductsRequest(category=query.filters.category, page_size=size, page=page)
        try:
            answer = await self._catalog.ListProducts(asked, timeout=_LISTING_SECONDS)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.NOT_FOUND:
                raise
            answer = catalog_pb.ListProductsResponse()  # to the index a category without products is no error
        has_more = bool(answer.next_page_token) and page * size < REACHABLE_BY_PAGE
        return pb.SearchProductsResponse(
            products=[wire.listed(product) for product in answer.products],
            next_page_token=self._pages.encode(wire.question(request), [page * size]) if has_more else "",
        )
