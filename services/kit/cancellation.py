"""Cancellation that isn't lost on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def heed_cancellation(work: Awaitable[T]) -> T:
    """Awaits work of a library that waits with asyncio.wait_for, which forgets a cancellation that arrives together with what it waits for
    (until Python 3.12): the caller is cancelled all the same. What the work answered is dropped then, so it must hold nothing.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    answer = await work
    if task and task.cancelling() > before:
        raise asyncio.CancelledError
    return answer
