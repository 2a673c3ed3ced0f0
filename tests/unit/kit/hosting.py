"""A process of services, without the process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import yaml

from services.kit.rpc.client import ClientChannel, socket_channel
from services.kit.runtime import Runtime
from services.kit.service import Parts, Service
from services.kit.settings import Settings
from tests.contract.echo import Echo, stubs

NAME = "bazaar.test.v1.EchoService"


def settings_in(folder: Path) -> Settings:
    """With a socket and a policy in that folder."""
    policy = {
        "identities": {"edge": {"on_behalf_of_user": True}, "front": {}},
        "methods": {f"{NAME}/{method}": {"callers": ["edge", "front"], "roles": ["anyone"]} for method in ("Echo", "Repeat")},
    }
    (folder / "policy.yaml").write_text(yaml.safe_dump(policy))
    return Settings(
        listen=f"unix:{folder}/w.sock",
        policy=folder / "policy.yaml",
        drain_timeout_seconds=5,
        start_timeout_seconds=0.3,
    )


def echo_service(servicer: Echo | None = None, **parts: Any) -> Service:
    """One that echoes, and what else it consists of."""
    add = stubs.add_EchoServiceServicer_to_server
    return Service("echo", lambda kit: Parts(servicers=[(add, servicer or Echo())], **parts))


@asynccontextmanager
async def running(services: Sequence[Service], settings: Settings) -> AsyncIterator[Runtime]:
    """Serves for the length of the block."""
    runtime = Runtime(services, settings)
    try:
        await runtime.start()
        yield runtime
    finally:
        await runtime.stop()


def connected(settings: Settings) -> grpc.aio.Channel:
    """To its socket."""
    return socket_channel(settings.listen)


def echo_stub(channel: grpc.aio.Channel) -> Any:
    """In the name of the edge."""
    return stubs.EchoServiceStub(ClientChannel(channel, "edge", "echo", speaks_for_users=True, is_far=False))
