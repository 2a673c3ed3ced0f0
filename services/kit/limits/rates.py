"""So many a second, and so many at once: the generic cell rate algorithm (ITU-T I.371), one number a key.

The number is the moment at which the key will have its whole burst again. A call moves it by one call's share of a second, and is refused
if that would put it further off than the burst lasts. By Redis's clock, so that it is one for all who ask.
"""

from __future__ import annotations

from datetime import timedelta

from redis.asyncio import RedisCluster

from services.kit.limits.counting import Counting
from services.kit.limits.rate import Rate
from services.kit.redis import Script
from services.kit.values import value

_TAKE = Script(
    "take_one",
    """
    local clock = redis.call('TIME')
    local now = clock[1] * 1000000 + clock[2]
    local interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
    local full_at = math.max(now, tonumber(redis.call('GET', KEYS[1]) or 0))
    local wait = full_at + interval - burst * interval - now
    if wait > 0 then
        return {0, 0, math.ceil(wait), math.ceil(full_at - now)}
    end
    full_at = full_at + interval
    redis.call('SET', KEYS[1], string.format('%.0f', full_at), 'PX', math.ceil((full_at - now) / 1000))
    return {1, math.floor(burst - (full_at - now) / interval), 0, math.ceil(full_at - now)}
    """,
)


@value
class Verdict:
    """What became of one call."""

    is_allowed: bool
    remaining: int
    """Calls that would be allowed right after it."""
    retry_after: timedelta
    """Until one is allowed again; zero if this one was."""
    full_after: timedelta
    """Until the whole burst is there again."""


class Rates:
    """Counts calls by key."""

    def __init__(self, redis: RedisCluster) -> None:
        self._counting = Counting("rates", _TAKE, redis)

    async def take(self, key: str, rate: Rate) -> Verdict | None:
        """Counts a call; one that is refused doesn't count. None: Redis can't be asked, and nothing is known.

        Args:
            key: whose call, and of which kind; in Redis until the burst is whole again.
        """
        answer = await self._counting.ask(f"rate:{{{key}}}", (1_000_000 / rate.per_second, rate.burst))
        if answer is None:
            return None
        is_allowed, remaining, wait, full = answer
        return Verdict(bool(is_allowed), remaining, timedelta(microseconds=wait), timedelta(microseconds=full))
