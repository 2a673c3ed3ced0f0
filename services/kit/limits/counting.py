"""Asks Redis many questions at once, and no question for long: limits must not hold up what they limit.

An edge gives up earlier by itself (gateway/limits.py); this is for a Redis that is frozen. Nobody who keeps a process busy outruns the
count of guessed passwords: the patience is that of an event loop that turns.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

import structlog
from opentelemetry import metrics
from redis.asyncio import RedisCluster
from redis.exceptions import NoScriptError

from services.kit.batching import Coalescer
from services.kit.redis import Encodable, RedisUnavailable, Script

PATIENCE_SECONDS = 0.4
_LOOKS = 8
"""How often in that time somebody looks whether the answer is there."""
PAUSE_SECONDS = 1.0
"""How long Redis isn't asked again after it has failed: each question would wait as long."""

T = TypeVar("T")

Question = tuple[str, Sequence[Encodable]]
"""A key, and what the script wants to know besides."""

_log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)
_unanswered = metrics.get_meter("bazaar").create_counter(
    "bazaar.limits.unanswered", description="Calls that were let through because Redis could not be asked."
)


async def patiently(work: Coroutine[Any, Any, T]) -> T:
    """What work on Redis comes to. A process that is held up reads nothing either: however long that lasts, it counts as one look.

    Raises:
        TimeoutError: it took longer than 0.4 s, and has been cancelled.
    """
    task = asyncio.create_task(work)
    try:
        for _ in range(_LOOKS):
            if (await asyncio.wait((task,), timeout=PATIENCE_SECONDS / _LOOKS))[0]:
                return task.result()
        raise TimeoutError
    finally:
        task.cancel()


class Counting:
    """Runs one script on many keys; questions that come in the same round of the event loop go to Redis together.

    Args:
        name: of few values; in metrics, traces and logs.
    """

    def __init__(self, name: str, script: Script, redis: RedisCluster) -> None:
        self._name = name
        self._script = script
        self._redis = redis
        self._asked: Coalescer[Question, Any] = Coalescer(f"limits {name}", self._ask)
        self._away_until = 0.0

    async def ask(self, key: str, args: Sequence[Encodable]) -> list[int] | None:
        """The script's answer; None when Redis doesn't give one, which is counted (`bazaar.limits.unanswered`)."""
        answer = None if time.monotonic() < self._away_until else await self._asked.submit((key, args))
        if answer is None:
            _unanswered.add(1, {"bazaar.limits": self._name})
        return answer

    async def _ask(self, questions: Sequence[Question]) -> Sequence[list[int] | None]:
        try:
            return await patiently(self._answers(questions))
        except (RedisUnavailable, TimeoutError) as error:
            self._away_until = time.monotonic() + PAUSE_SECONDS
            _log.warning("limits are not kept: Redis does not answer", limits=self._name, error=type(error).__name__)
            return [None] * len(questions)

    async def _answers(self, questions: Sequence[Question]) -> list[list[int] | None]:
        if len(questions) == 1:
            ((key, args),) = questions
            return [await self._script(self._redis, keys=[key], args=args)]
        pipeline = self._redis.pipeline()
        for key, args in questions:
            self._script.queue(pipeline, keys=[key], args=args)
        answers = await pipeline.execute(raise_on_error=False)
        return [await self._settled(question, answer) for question, answer in zip(questions, answers, strict=True)]

    async def _settled(self, question: Question, answer: Any) -> list[int]:
        if isinstance(answer, NoScriptError):
            return await self._script(self._redis, keys=[question[0]], args=question[1])
        if isinstance(answer, Exception):
            raise answer
        return answer
