"""What the services of one process share: clients of the servers, and channels to each other."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from grpc.aio import Channel

from services.kit.auth import Policy
from services.kit.database import Database
from services.kit.mongo import open_mongo
from services.kit.redis import open_redis
from services.kit.rpc import calls
from services.kit.rpc.client import ClientChannel, socket_channel
from services.kit.rpc.inprocess import InProcessChannel
from services.kit.settings import Settings

if TYPE_CHECKING:
    from pymongo import AsyncMongoClient
    from redis.asyncio import RedisCluster


class Unconfigured(Exception):
    """A service needs something that no setting names; says which setting."""


class SharedConnections:
    """Opened at the first use, closed together.

    Args:
        own_services: the services of this process; calls to them stay inside of it.
    """

    def __init__(self, settings: Settings, policy: Policy, own_services: frozenset[str], inside: InProcessChannel) -> None:
        self._settings = settings
        self._policy = policy
        self._own_services = own_services
        self._inside = inside
        self._sockets: dict[str, Channel] = {}
        self._redis: RedisCluster | None = None
        self._mongo: AsyncMongoClient[dict[str, Any]] | None = None
        self._databases: dict[str, Database] = {}

    @property
    def redis(self) -> RedisCluster:
        if self._redis is None:
            self._redis = open_redis(_set(self._settings.redis_url, "BAZAAR_REDIS_URL"))
        return self._redis

    @property
    def mongo(self) -> AsyncMongoClient[dict[str, Any]]:
        if self._mongo is None:
            self._mongo = open_mongo(_set(self._settings.mongo_url, "BAZAAR_MONGO_URL"))
        return self._mongo

    @property
    def databases(self) -> dict[str, Database]:
        """The databases in use, by service."""
        return self._databases

    def database(self, service: str) -> Database:
        """One service's own database; not open yet."""
        if service not in self._databases:
            self._databases[service] = Database(_set(self._settings.database_url_of(service), "BAZAAR_DATABASE_URL"))
        return self._databases[service]

    def channel(self, caller: str, service: str) -> Channel:
        speaks = self._policy.speaks_for_users(caller)
        if service in self._own_services:
            return ClientChannel(self._inside, caller, service, speaks_for_users=speaks, is_far=False)
        return ClientChannel(self._socket(service), caller, service, speaks_for_users=speaks, is_far=True)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        return calls.beside(work)

    async def probe(self) -> None:
        """Asks every server in use for a sign of life; raises what it raises."""
        for database in self._databases.values():
            async with database.connection() as connection:
                await connection.execute("SELECT 1")
        if self._redis is not None:
            await self._redis.execute_command("PING", target_nodes="random")
        if self._mongo is not None:
            await self._mongo.admin.command("ping")

    async def open(self) -> None:
        """Readies the pools."""
        for database in self._databases.values():
            await database.open()

    async def close(self) -> None:
        """Closes whatever was opened."""
        for channel in self._sockets.values():
            await channel.close()
        if self._redis is not None:
            await self._redis.aclose()
        if self._mongo is not None:
            await self._mongo.close()
        for database in self._databases.values():
            await database.close()

    def _socket(self, service: str) -> Channel:
        if service not in self._sockets:
            address = _set(self._settings.addresses.get(service, ""), f"BAZAAR_ADDRESS_{service.upper()}")
            self._sockets[service] = socket_channel(address)
        return self._sockets[service]


def _set(value: str, variable: str) -> str:
    if not value:
        raise Unconfigured(f"{variable} is not set, and a service of this process needs it.")
    return value
