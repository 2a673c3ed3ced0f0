"""Pages of results kept in Redis, for the time that the index is away."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable

from redis.asyncio import RedisCluster
from redis.exceptions import RedisError

from bazaar.search.v1 import search_service_pb2 as pb
from services.kit.rpc.calls import beside

_KEPT_SECONDS = 15 * 60
_RENEWED_SECONDS = 2 * 60
_SECONDS_BETWEEN = 0.25
"""From one page to the next at least, so that questions nobody asks twice fill no Redis: 3,600 pages of some 10 KB in all, a process."""


class KeptPages:
    """The last answers. Whatever happens to Redis, nothing here fails its caller."""

    def __init__(self, redis: Callable[[], RedisCluster]) -> None:
        self._redis = redis
        self._kept: dict[str, float] = {}
        """When each was kept here, by key, the oldest first."""
        self._next = 0.0

    def keep(self, request: pb.SearchProductsRequest, response: pb.SearchProductsResponse) -> None:
        """Keeps an answer beside the call, unless it is empty, or the page was kept two minutes ago or less, or another one just now."""
        now, key = time.monotonic(), _key(request)
        if not response.products or now < self._next or now < self._kept.get(key, -_RENEWED_SECONDS) + _RENEWED_SECONDS:
            return
        self._next = now + _SECONDS_BETWEEN
        self._kept.pop(key, None)
        self._kept[key] = now
        for old in [old for old, at in self._kept.items() if at < now - _RENEWED_SECONDS]:
            del self._kept[old]
        beside(self._write(key, response.SerializeToString()))

    async def find(self, request: pb.SearchProductsRequest) -> pb.SearchProductsResponse | None:
        """The last answer to the same request, of up to 15 minutes ago."""
        try:
            found = await self._redis().get(_key(request))
        except RedisError:
            return None
        return pb.SearchProductsResponse.FromString(found) if isinstance(found, bytes) else None

    async def _write(self, key: str, page: bytes) -> None:
        try:
            await self._redis().set(key, page, ex=_KEPT_SECONDS)
        except RedisError:
            self._kept.pop(key, None)


def _key(request: pb.SearchProductsRequest) -> str:
    digest = hashlib.blake2b(request.SerializeToString(deterministic=True), digest_size=16).hexdigest()
    return f"search:{digest}"
