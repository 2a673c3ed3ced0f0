"""One service, or a few, served for tests over a real socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc.aio import AioRpcError

from services.kit.auth import ANONYMOUS, Principal, claims_of
from services.kit.rpc.calls import CALLER, USER
from services.kit.rpc.client import socket_channel
from services.kit.runtime import Runtime
from services.kit.service import Service
from services.kit.settings import Settings
from tools.secrets import make_missing

GRPC_TOLERANCE = 1.04
"""Over a socket, grpc sends a timeout just below an earlier one of the connection as that earlier one (measured: up to 3 %)."""


class Client:
    """A generated stub whose calls are made by `caller` in a user's name."""

    def __init__(self, stub: Any, user: Principal = ANONYMOUS, caller: str = "edge") -> None:
        self._stub = stub
        self._metadata = ((CALLER, caller), (USER, claims_of(user)))

    def __getattr__(self, method: str) -> Any:
        return partial(getattr(self._stub, method), metadata=self._metadata)

    def having(self, *metadata: tuple[str, str]) -> Client:
        """The same with more metadata."""
        client = Client(self._stub)
        client._metadata = (*self._metadata, *metadata)
        return client


@asynccontextmanager
async def serving(
    services: Sequence[Service], directory: Path, short_directory: Path, *, database_url: str, events_url: str = "", redis_url: str = ""
) -> AsyncIterator[Any]:
    """Serves until the block ends; gives the channel."""
    make_missing(directory)
    socket = short_directory / f"{services[0].name}-{directory.name[-12:]}.sock"
    settings = Settings(
        listen=f"unix:{socket}",
        database_url=database_url,
        events_url=events_url,
        redis_url=redis_url,
        secrets=directory,
        start_timeout_seconds=5,
        shed_wait_seconds=0,
    )
    runtime = Runtime(services, settings)
    await runtime.start()
    channel = socket_channel(f"unix:{socket}")
    yield channel
    await channel.close()
    await runtime.stop()


def user(user_id: str, *roles: str, session_id: str = "") -> Principal:
    """Somebody who is logged in."""
    return Principal("user", user_id, frozenset(roles or ["customer"]), session_id)


def details_of(error: AioRpcError) -> tuple[str, str, dict[str, str]]:
    """Code, reason and metadata of an error."""
    status = status_pb2.Status()
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            status.ParseFromString(value)
    info = error_details_pb2.ErrorInfo()
    found = next((info for detail in status.details if detail.Unpack(info)), info)
    return error.code().name, found.reason, dict(found.metadata)


async def refused(call: Awaitable[Any]) -> tuple[str, str, dict[str, str]]:
    """Code, reason and metadata of the error that a call ends with."""
    with pytest.raises(AioRpcError) as caught:
        await call
    return details_of(caught.value)
