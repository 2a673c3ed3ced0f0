"""grpc.health.v1: whether this process wants calls, in all and service by service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthServicer

SERVICE_NAME = "grpc.health.v1.Health"


class Health(HealthServicer):
    """Says NOT_SERVING until `serve`, and again from `stop` on.

    Unlike grpcio's own servicer it ends its watchers when it stops, so that they don't hold up a drain.
    """

    def __init__(self, service_names: Iterable[str]) -> None:
        self._names = {"", *service_names}
        self._status = HealthCheckResponse.NOT_SERVING
        self._is_stopping = False
        self._changed = asyncio.Event()

    def serve(self) -> None:
        """From now on calls are welcome."""
        self._change(HealthCheckResponse.SERVING)

    def stop(self) -> None:
        """From now on they are not, for ever."""
        self._is_stopping = True
        self._change(HealthCheckResponse.NOT_SERVING)

    async def Check(self, request: HealthCheckRequest, context: grpc.aio.ServicerContext[Any, Any]) -> HealthCheckResponse:
        if request.service not in self._names:
            await context.abort(grpc.StatusCode.NOT_FOUND, "This process has no such service.")
        return HealthCheckResponse(status=self._status)

    async def Watch(self, request: HealthCheckRequest, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[HealthCheckResponse]:
        told = None
        while True:
            changed = self._changed
            status = self._status if request.service in self._names else HealthCheckResponse.SERVICE_UNKNOWN
            if status != told:
                yield HealthCheckResponse(status=status)
                told = status
            if self._is_stopping:
                return
            await changed.wait()

    def _change(self, status: HealthCheckResponse.ServingStatus) -> None:
        self._status = status
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
