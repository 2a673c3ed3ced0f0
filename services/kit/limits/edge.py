"""Answers Envoy's rate limit filter: what the edges of an installation count together.

The limit itself comes along in the question, as `gateway/limits.py` has written it into the routes; so nothing here needs to be set.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import grpc
import grpc.aio
from redis.asyncio import RedisCluster

from foreign.rate_limit_pb2 import RateLimitDescriptor, RateLimitRequest, RateLimitResponse
from services.kit.limits.rate import limit_of
from services.kit.limits.rates import Rates, Verdict

SERVICE_NAME = "envoy.service.ratelimit.v3.RateLimitService"

_limit = lru_cache(limit_of)


class RateLimitService:
    """`envoy.service.ratelimit.v3.RateLimitService`: while Redis is away, UNAVAILABLE."""

    def __init__(self, redis: RedisCluster) -> None:
        self._rates = Rates(redis)

    async def ShouldRateLimit(self, request: RateLimitRequest, context: grpc.aio.ServicerContext[Any, Any]) -> RateLimitResponse:
        verdicts = [await self._judged(descriptor) for descriptor in request.descriptors]
        known = [verdict for verdict in verdicts if verdict]
        if len(known) < len(verdicts):
            await context.abort(grpc.StatusCode.UNAVAILABLE, "Redis does not answer.")
        return _response(known)

    async def _judged(self, descriptor: RateLimitDescriptor) -> Verdict | None:
        limit, *whose = descriptor.entries
        name, rate = _limit(limit.value)
        return await self._rates.take(":".join([name, *(entry.value for entry in whose)]), rate)


def add_rate_limits_to_server(service: RateLimitService, server: Any) -> None:
    """Does what a generated `add_…_to_server` does."""
    handler = grpc.unary_unary_rpc_method_handler(
        service.ShouldRateLimit,
        request_deserializer=RateLimitRequest.FromString,
        response_serializer=RateLimitResponse.SerializeToString,
    )
    server.add_registered_method_handlers(SERVICE_NAME, {"ShouldRateLimit": handler})


def _response(verdicts: Sequence[Verdict]) -> RateLimitResponse:
    refusals = [verdict for verdict in verdicts if not verdict.is_allowed]
    if not refusals:
        return RateLimitResponse(overall_code=RateLimitResponse.OK)
    wait = max(verdict.retry_after for verdict in refusals)
    header: Any = {"key": "retry-after", "value": str(math.ceil(wait.total_seconds()))}
    return RateLimitResponse(overall_code=RateLimitResponse.OVER_LIMIT, response_headers_to_add=[header])
