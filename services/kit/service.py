"""How a service is declared, and what it is given to build itself from."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import asyncio

    import grpc.aio
    from pymongo import AsyncMongoClient
    from redis.asyncio import RedisCluster

    from services.kit.clock import Clock
    from services.kit.database import Database
    from services.kit.events.port import Subscription, Topic
    from services.kit.leader import Work
    from services.kit.secrets import Secrets
    from services.kit.settings import Settings
    from services.kit.timers import Timer

AddToServer = Callable[[Any, Any], None]
"""A generated `add_<Noun>ServiceServicer_to_server`."""


@dataclass(frozen=True)
class Service:
    """One noun of the shop, declared in services/<noun>/__init__.py as SERVICE."""

    name: str
    """Also its database (`bazaar_<name>`), its role there, and its identity in mesh/policy.yaml."""

    build: Callable[[ServiceKit], Parts]
    """Wires model, store, servicer and events together. Does no I/O."""

    migrations: Path | None = None
    """Folder of its SQL files; None when it keeps nothing in PostgreSQL."""


@dataclass
class Parts:
    """What a built service consists of."""

    servicers: Sequence[tuple[AddToServer, object]]
    topics: Sequence[Topic] = ()
    """What it publishes."""

    subscriptions: Sequence[Subscription] = ()
    """Broadcasts go to processes that answer calls, all else to those that work (BAZAAR_ROLE)."""

    timers: Sequence[Timer] = ()
    """Run by one leader among all processes that work."""

    led: Sequence[Work] = ()
    """Long-running work of the same leader."""

    start: Callable[[], Awaitable[None]] | None = None
    """Once per process, after the database is reachable and before serving; must be idempotent."""

    background: Sequence[Callable[[], Awaitable[None]]] = ()
    """Long-running work of every process, whatever its role: what its own objects need. Restarted when it fails, cancelled at drain."""


class Connections(Protocol):
    """What the services of one process share."""

    @property
    def redis(self) -> RedisCluster: ...

    @property
    def mongo(self) -> AsyncMongoClient[dict[str, Any]]: ...

    def channel(self, caller: str, service: str) -> grpc.aio.Channel: ...

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]: ...


@dataclass(frozen=True)
class ServiceKit:
    """What a service's build gets."""

    name: str
    settings: Settings
    secrets: Secrets
    clock: Clock
    connections: Connections
    own_database: Database | None

    @property
    def database(self) -> Database:
        """This service's own database.

        Raises:
            LookupError: the service declares no migrations.
        """
        if self.own_database is None:
            raise LookupError(f"The service {self.name} declares no migrations and so has no database.")
        return self.own_database

    @property
    def redis(self) -> RedisCluster:
        """The process's Redis client; opened at the first use."""
        return self.connections.redis

    @property
    def mongo(self) -> AsyncMongoClient[dict[str, Any]]:
        """The process's MongoDB client; opened at the first use."""
        return self.connections.mongo

    def channel(self, service: str) -> grpc.aio.Channel:
        """The way to another service, for its stub: in this process where it runs here, over a socket elsewhere."""
        return self.connections.channel(self.name, service)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Runs work beside the call that asked for it. It must end by itself: a drain waits for it as for a call."""
        return self.connections.spawn(work)
