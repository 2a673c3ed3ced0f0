"""So many within any window of time, and not one more: for what must not be guessed.

Each attempt is noted with its time before its outcome is known, so that any number at once is counted right, and is taken back when it
turns out well.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

from redis.asyncio import RedisCluster

from services.kit.ids import uuid7
from services.kit.limits.counting import Counting, patiently
from services.kit.redis import RedisUnavailable, Script
from services.kit.values import value

_NOTE = Script(
    "note_attempt",
    """
    local clock = redis.call('TIME')
    local now = clock[1] * 1000000 + clock[2]
    local most, window, id = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
    redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now - window))
    if redis.call('ZCARD', KEYS[1]) >= most then
        local oldest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2]
        return {0, math.ceil(tonumber(oldest) + window - now)}
    end
    redis.call('ZADD', KEYS[1], string.format('%.0f', now), id)
    redis.call('PEXPIRE', KEYS[1], math.ceil(window / 1000))
    return {1, 0}
    """,
)


@value
class Window:
    """What is allowed: `most` within any `length`."""

    most: int
    length: timedelta


@value
class Noted:
    """An attempt."""

    key: str
    attempt_id: str
    retry_after: timedelta | None = None
    """Set if there are too many: it wasn't noted, and this is when the next one may be. While Redis can't be asked there never are."""


class Attempts:
    """Counts attempts by key, in a Redis Cluster."""

    def __init__(self, redis: RedisCluster) -> None:
        self._redis = redis
        self._counting = Counting("attempts", _NOTE, redis)

    async def note(self, key: str, window: Window) -> Noted:
        """Notes an attempt, unless there are too many."""
        noted = Noted(_key(key), str(uuid7()))
        microseconds = round(window.length.total_seconds() * 1_000_000)
        answer = await self._counting.ask(noted.key, (window.most, microseconds, noted.attempt_id))
        return noted if answer is None or answer[0] else replace(noted, retry_after=timedelta(microseconds=answer[1]))

    async def forget(self, noted: Sequence[Noted]) -> None:
        """Takes attempts back. If Redis can't be asked they stay, until their window is over."""
        pipeline = self._redis.pipeline()
        for attempt in noted:
            pipeline.zrem(attempt.key, attempt.attempt_id)
        with suppress(RedisUnavailable, TimeoutError):
            await patiently(pipeline.execute())


def _key(key: str) -> str:
    return f"attempts:{{{key}}}"
