"""A worker: one process with every service, or some, on a unix socket."""

from __future__ import annotations

import signal
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx

from tools import early
from tools.servers import Program

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Never used; without it httpx reads every certificate authority of the machine at each question."""

EMPTY_MESSAGE = bytes(5)
"""gRPC's frame of a message without fields: not compressed, zero bytes long."""
SERVING = bytes([0, 0, 0, 0, 2, 0x08, 1])
"""HealthCheckResponse{status: SERVING} in its frame."""


class Worker:
    """`python -m services` under a name of its own, once the gate is open.

    Args:
        services: all when empty.
    """

    role = "worker"

    def __init__(self, name: str, socket: Path, gate: Path, environment: Mapping[str, str], services: Sequence[str] = ()) -> None:
        self.name = name
        self.socket = socket
        self._services = services
        self._gate = gate
        self._environment = environment

    @property
    def address(self) -> str:
        return f"unix:{self.socket}"

    def prepare(self) -> None:
        # A killed worker leaves its socket, and the path can't be bound twice.
        self.socket.unlink(missing_ok=True)

    def program(self) -> Program:
        own = {"BAZAAR_LISTEN": self.address, "BAZAAR_PROCESS": self.name}
        # With the supervisor go the databases: an orderly end would only wait for them.
        return Program(early.command(self._gate, *self._services), {**self._environment, **own}, death_signal=signal.SIGKILL)

    def ready(self) -> bool:
        """Asks grpc.health.v1. Over plain HTTP/2: grpcio's threads do not mix with a process that forks for its living."""
        return self.socket.exists() and self._health() == SERVING

    def answers(self) -> bool:
        return self._health() is not None

    def _health(self) -> bytes | None:
        """What it answers; None when it is silent."""
        transport = httpx.HTTPTransport(uds=str(self.socket), http1=False, http2=True, verify=NO_TLS)
        headers = {"content-type": "application/grpc", "te": "trailers"}
        try:
            with httpx.Client(transport=transport, timeout=2, base_url="http://worker") as client:
                answer = client.post("/grpc.health.v1.Health/Check", headers=headers, content=EMPTY_MESSAGE)
        except httpx.HTTPError:
            return None
        return answer.content
