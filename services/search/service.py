"""The search servicer."""

from __future__ import annotations

from typing import Any

from bazaar.search.v1 import search_service_pb2 as pb
from bazaar.search.v1 import search_service_pb2_grpc
from services.search.filling import Filling
from services.search.popularity import Popularity
from services.search.search import Search
from services.search.store import SearchStore


class SearchServicer(search_service_pb2_grpc.SearchServiceServicer):
    """Answers questions, and has the index rebuilt."""

    def __init__(self, search: Search, store: SearchStore, filling: Filling, popularity: Popularity) -> None:
        self._search = search
        self._store = store
        self._filling = filling
        self._popularity = popularity

    async def SearchProducts(self, request: pb.SearchProductsRequest, context: Any) -> pb.SearchProductsResponse:
        return await self._search.answer(request)

    async def RebuildIndex(self, request: pb.RebuildIndexRequest, context: Any) -> pb.RebuildIndexResponse:
        await self._filling.fill()
        await self._popularity.read()
        return pb.RebuildIndexResponse(generation=await self._store.want_new_copy())

    async def RollBackIndex(self, request: pb.RollBackIndexRequest, context: Any) -> pb.RollBackIndexResponse:
        return pb.RollBackIndexResponse(generation=await self._store.want_previous_copy())
