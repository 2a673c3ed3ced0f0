"""What can be bought, kept in Redis beside PostgreSQL: `stock:{sku}` holds "version available" for a minute.

The cache serves CheckStock and nothing that decides. After a commit the SKUs it changed are read again and written, off the request's
path and many at once; a write that is lost leaves the old number until the next change or the end of its minute. The number can be
wrong in two ways, both bounded: too large for up to a quarter of a second between a commit and its write, and too small from the expiry
of a reservation until the sweeper folds it (seconds). So "enough" is believed and "not enough" is asked of PostgreSQL.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from itertools import islice

from redis.asyncio import RedisCluster
from redis.exceptions import RedisError

from services.inventory.levels import Level
from services.kit.errors import Unavailable
from services.kit.pacing import Pace

_KEPT_SECONDS = 60
_READ_SECONDS = 0.2
_AWAY_SECONDS = 1.0
_TURN_SECONDS = 0.25
_WRITTEN_AT_ONCE = 500
_MOST_WAITING = 20_000

# An equal version may be written again: time alone changes what is available.
_WRITE = """
local stored = redis.call('GET', KEYS[1])
if stored and tonumber(string.match(stored, '^%d+')) > tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. ARGV[2], 'EX', ARGV[3])
return 1
"""


class StockCache:
    """Levels in Redis. Whatever happens to Redis, nothing here fails its caller.

    Args:
        load: the levels of these SKUs as PostgreSQL has them now.
    """

    def __init__(self, redis: Callable[[], RedisCluster], load: Callable[[Sequence[str]], Awaitable[Sequence[Level]]]) -> None:
        self._redis = redis
        self._load = load
        self._changed: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._pace = Pace(_TURN_SECONDS)
        self._away_until = 0.0

    def changed(self, skus: Collection[str]) -> None:
        """Has the SKUs' levels read and written soon. Beyond 20,000 waiting ones they are let go: their old numbers end by themselves."""
        if len(self._changed) < _MOST_WAITING:
            self._changed.update(dict.fromkeys(skus))
            self._wake.set()

    async def read(self, skus: Collection[str]) -> Mapping[str, int]:
        """What is known to be available, in at most 0.2 s; SKUs that Redis doesn't know, or all while it is away, are left out."""
        if time.monotonic() < self._away_until:
            return {}
        try:
            async with asyncio.timeout(_READ_SECONDS):
                values = await self._values(list(skus))
        except (RedisError, TimeoutError):
            self._away_until = time.monotonic() + _AWAY_SECONDS
            return {}
        return {sku: int(value.split()[1]) for sku, value in zip(skus, values, strict=True) if isinstance(value, bytes)}

    async def keep_written(self) -> None:
        """Runs until cancelled: writes what has changed."""
        while True:
            await self._wake.wait()
            await self._pace.turn()
            try:
                await self.write_changed()
            except (RedisError, Unavailable):
                await asyncio.sleep(_AWAY_SECONDS)

    async def write_changed(self) -> None:
        """Writes what has changed so far. A portion that fails is let go."""
        while skus := list(islice(self._changed, _WRITTEN_AT_ONCE)):
            for sku in skus:
                del self._changed[sku]
            await self.write(await self._load(skus))
        self._wake.clear()

    async def write(self, levels: Sequence[Level]) -> None:
        """Writes levels, but none over a newer one.

        Raises:
            RedisError: Redis is away; some may be written.
        """
        pipeline = self._redis().pipeline()
        for level in levels:
            pipeline.execute_command("EVAL", _WRITE, 1, _key(level.sku), level.version, level.available, _KEPT_SECONDS)
        await pipeline.execute()

    async def _values(self, skus: Sequence[str]) -> Sequence[object]:
        if len(skus) == 1:
            return [await self._redis().get(_key(skus[0]))]
        pipeline = self._redis().pipeline()
        for sku in skus:
            pipeline.get(_key(sku))
        return await pipeline.execute(raise_on_error=False)


def _key(sku: str) -> str:
    return f"stock:{{{sku}}}"
