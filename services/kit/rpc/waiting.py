"""How long a call waits until it is answered: the process asks itself, by its own socket, how it is.

When there is too much to do calls wait inside of gRPC, before any handler knows of them, and the event loop looks as quick as ever.
"""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import suppress
from typing import Any

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.kit.rpc.client import socket_channel

_EVERY_SECONDS = 0.25
_MOST_SECONDS = 2.0
"""What one answer counts for at most."""


class Waiting:
    """An average over about the last second."""

    def __init__(self) -> None:
        self._average = 0.0
        self._asked_at: float | None = None

    @property
    def seconds(self) -> float:
        """How long calls wait; a question that is still open counts as if it were answered now."""
        return self._average if self._asked_at is None else self._averaged(time.monotonic() - self._asked_at)

    async def measure(self, listen: str) -> None:
        """Asks until cancelled.

        Args:
            listen: where this process serves.
        """
        async with socket_channel(listen) as channel:
            health: Any = health_pb2_grpc
            check = health.HealthStub(channel).Check
            while True:
                await asyncio.sleep(_EVERY_SECONDS)
                self._asked_at = time.monotonic()
                # Late, or about to stop: either way it took as long as it took.
                with suppress(grpc.aio.AioRpcError):
                    await check(health_pb2.HealthCheckRequest(), timeout=_MOST_SECONDS)
                self.note(time.monotonic() - self._asked_at)
                self._asked_at = None

    def note(self, seconds: float) -> None:
        """Takes a measurement into the average."""
        self._average = self._averaged(seconds)

    def _averaged(self, seconds: float) -> float:
        weight = 1 - math.exp(-(seconds + _EVERY_SECONDS))
        return self._average + weight * (min(seconds, _MOST_SECONDS) - self._average)
