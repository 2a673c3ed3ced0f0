"""Redis Cluster, with spans, and with an end to every wait.

Redis holds what can be lost: projections, caches, limits. So a Redis that is away fails its callers within 3 s at the worst (at once
when nobody listens), and they degrade; the client connects again by itself. Values are bytes.

    stock = open_redis(settings.redis_url)
    try:
        available = await stock.get(f"stock:{sku}")
    except RedisUnavailable:
        available = None
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, ClassVar, TypeVar, cast

from opentelemetry import trace
from redis._parsers import AsyncCommandsParser
from redis.asyncio import RedisCluster
from redis.asyncio.cluster import ClusterNode, ClusterPipeline
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.commands import READ_COMMANDS
from redis.exceptions import ClusterDownError, ClusterError, NoScriptError, RedisClusterException, RedisError, SlotNotCoveredError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.maint_notifications import MaintNotificationsConfig

from services.kit.cancellation import heed_cancellation
from services.kit.errors import Unavailable
from services.kit.telemetry import tracing

CONNECT_SECONDS = 1.0
COMMAND_SECONDS = 2.0
IN_FLIGHT = 64
"""Commands that a client has open at once; more wait their turn. Each takes a connection."""

_KEY_PREFIX = re.compile(r"[a-z][a-z0-9_-]{0,31}(?=:)")
_AWAY = (RedisConnectionError, RedisTimeoutError, ClusterDownError, SlotNotCoveredError, TimeoutError)

T = TypeVar("T")
Encodable = str | bytes | int | float


class RedisUnavailable(Unavailable, RedisError):
    """Redis does not answer, or not in time. Whether a write was applied is unknown."""


class Cluster(RedisCluster):
    """redis-py's cluster client with a span for every command, pipeline and script, and a bound on its duration."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)  # pyright: ignore[reportUnknownMemberType]
        self.commands_parser = _Commands()
        self._turns = asyncio.Semaphore(IN_FLIGHT)

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        command = str(args[0])
        with _span(command, _summary(command, args), 1):
            try:
                return await self._bounded(lambda: super(Cluster, self).execute_command(*args, **options))
            except RedisUnavailable as error:
                # A connection that Redis closed while it restarted shows only when used; a read may be asked again.
                if command not in READ_COMMANDS or not isinstance(error.__cause__, RedisConnectionError):
                    raise
            return await self._bounded(lambda: super(Cluster, self).execute_command(*args, **options))

    def pipeline(self, transaction: Any = None, shard_hint: Any = None) -> ClusterPipeline:
        return _Pipeline(self, transaction)  # pyright: ignore[reportAbstractUsage] (redis-py's own class is no less abstract)

    async def execute_pipeline(self, execute: Callable[[], Awaitable[list[Any]]]) -> list[Any]:
        """Runs a pipeline's `execute` as one of this client's commands."""
        try:
            return await self._bounded(execute)
        except RedisUnavailable:
            await self._look_again()
            raise

    async def _look_again(self) -> None:
        """Has the next command ask who serves what, over new connections: redis-py does so after a command, but not after a pipeline.

        Connections that others use stay: what they wait for may come from nodes that are well.
        """
        self._initialize = True
        await asyncio.gather(*(node.disconnect_free_connections() for node in self.get_nodes()))

    async def _bounded(self, execute: Callable[[], Awaitable[T]]) -> T:
        try:
            async with asyncio.timeout(CONNECT_SECONDS + COMMAND_SECONDS), self._turns:
                return await heed_cancellation(execute())
        except _AWAY as error:
            raise RedisUnavailable("Redis does not answer") from error
        except RuntimeError as error:
            # What uvloop says, and redis-py doesn't expect, of a connection that was reset before its turn came.
            if "the handler is closed" not in str(error):
                raise
            raise RedisUnavailable("Redis does not answer") from RedisConnectionError(str(error))
        except ClusterError as error:
            # What moves from node to node isn't found at either for a moment.
            raise RedisUnavailable("Redis moves what is asked for") from error
        except RedisClusterException as error:
            if not any(reason in str(error) for reason in ("cannot be connected", "could not agree")):
                raise
            raise RedisUnavailable("Redis does not answer") from error


class _Commands(AsyncCommandsParser):
    """What commands there are, asked once. redis-py asks whenever it asks who serves what, and of the first primary: one that hangs would
    keep all waiting, whatever node they want.
    """

    async def initialize(self, node: ClusterNode | None = None) -> None:
        if node and self.commands:
            self.node = node
        else:
            await super().initialize(node)


class _Pipeline(ClusterPipeline):
    async def execute(self, raise_on_error: bool = True, allow_redirections: bool = True) -> list[Any]:
        client = cast(Cluster, self.cluster_client)
        with _span("PIPELINE", "PIPELINE", len(self)):
            return await client.execute_pipeline(lambda: super(_Pipeline, self).execute(raise_on_error, allow_redirections))


class Script:
    """A Lua script, sent by its hash; a node that doesn't know it yet gets its source.

    Args:
        name: shown in traces.
        source: Lua, for Redis 6.2. All its keys lie in one hash slot.
    """

    names: ClassVar[dict[str, str]] = {}
    """Name by hash, of every script there is."""

    def __init__(self, name: str, source: str) -> None:
        self._source = source
        self._sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
        self.names[self._sha] = name

    async def __call__(self, redis: RedisCluster, *, keys: Sequence[str | bytes], args: Sequence[Encodable] = ()) -> Any:
        """Runs the script and returns its answer.

        Raises:
            RedisUnavailable: Redis does not answer; whether the script ran is unknown.
            redis.exceptions.ResponseError: the script failed.
        """
        try:
            return await redis.execute_command("EVALSHA", self._sha, len(keys), *keys, *args)
        except NoScriptError:
            return await redis.execute_command("EVAL", self._source, len(keys), *keys, *args)

    def queue(self, pipeline: ClusterPipeline, *, keys: Sequence[str | bytes], args: Sequence[Encodable] = ()) -> None:
        """Adds a run to a pipeline; its answer is a NoScriptError where the node doesn't know the script: then call it."""
        pipeline.execute_command("EVALSHA", self._sha, len(keys), *keys, *args)


def open_redis(url: str) -> RedisCluster:
    """A client of the Redis Cluster that one node at `url` (`redis://:password@host:port`) belongs to. Connects when first used.

    Close it with `aclose()`. Its errors: RedisUnavailable, and redis.exceptions.ResponseError for a wrong command.
    """
    return Cluster.from_url(
        url,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=COMMAND_SECONDS,
        retry=Retry(NoBackoff(), 0),
        require_full_coverage=False,  # what is without a primary for a moment takes nothing else along
        max_connections=4 * IN_FLIGHT,
        protocol=2,
        driver_info=None,
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
    )


def _span(command: str, summary: str, size: int) -> trace.Span:
    attributes: dict[str, str | int] = {"db.system.name": "redis", "db.operation.name": command, "db.query.summary": summary}
    if size > 1:
        attributes["db.operation.batch.size"] = size
    return tracing.span(summary, kind=tracing.SpanKind.CLIENT, attributes=attributes)


def _summary(command: str, args: Sequence[Any]) -> str:
    """The command with its first key's prefix (`GET stock`) or its script's name; nothing more of a key, nothing of a value."""
    if command in ("EVALSHA", "EVAL"):
        sha = args[1] if command == "EVALSHA" else hashlib.sha1(str(args[1]).encode(), usedforsecurity=False).hexdigest()
        return f"{command} {Script.names.get(sha, '')}".rstrip()
    key = args[1] if len(args) > 1 else ""
    text = key.decode("latin-1") if isinstance(key, bytes) else key
    prefix = _KEY_PREFIX.match(text) if isinstance(text, str) else None
    return f"{command} {prefix[0]}" if prefix else command
