"""What there is to see for customers when all of a shop works, and how long it took to come back."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from tests.chaos.recovery import BAR, until
from tests.chaos.rush import SKUS, Front, Rush

RANKING = "/v1/queryTopProducts?category=rush&limit="
SEARCH = "/v1/search?category=rush&page_size="


@asynccontextmanager
async def asking(front: Front, question: str = RANKING) -> AsyncIterator[Counter[int]]:
    """Somebody asks for the hot ranking, or for something else, all the time; the statuses of the answers."""
    statuses: Counter[int] = Counter()

    async def ask() -> None:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{front.port}", trust_env=False, timeout=10) as client:
            # Another limit each time: the edge keeps answers for a moment.
            for limit in itertools.cycle(range(1, 100)):
                statuses[(await client.get(f"{question}{limit}")).status_code] += 1
                await asyncio.sleep(0.1)

    task = asyncio.create_task(ask())
    try:
        yield statuses
    finally:
        task.cancel()
        await asyncio.wait([task])


def ranked(front: Front) -> dict[str, int]:
    """Orders by product, as the live ranking has them; nothing while history answers."""
    answer = front.get(f"{RANKING}{10 + time.monotonic_ns() % 80}")
    return {row["productId"]: int(row["orders"]) for row in answer["products"]} if answer["source"] == "LIVE" else {}


def is_searched(front: Front) -> bool:
    """Whether the index answers, and what it has is what is on sale."""
    answer = front.get(f"{SEARCH}{10 + time.monotonic_ns() % 80}")
    return (answer["source"], answer["totalSize"]) == ("INDEX", str(len(SKUS)))


async def served(front: Front, rush: Rush, since: float, bar: float = BAR) -> float:
    """Waits until the index answers, and what has been confirmed by now is in the live ranking; how many seconds that is after `since`.

    Raises:
        TimeoutError: more than the bar.
    """
    wanted = _lines(rush)
    async with asyncio.timeout(max(0.1, bar - (time.monotonic() - since))):
        while not await asyncio.to_thread(_is_served, front, wanted):
            await asyncio.sleep(0.05)
    return time.monotonic() - since


def _is_served(front: Front, wanted: int) -> bool:
    try:
        return sum(ranked(front).values()) >= wanted and is_searched(front)
    except httpx.HTTPError:
        return False


async def counted(front: Front, rush: Rush, since: float, bar: float = BAR) -> None:
    """Within the bar, what has been confirmed by now is in the live ranking."""
    wanted = _lines(rush)
    await until(lambda: sum(ranked(front).values()) >= wanted, max(0.1, bar - (time.monotonic() - since)))


def _lines(rush: Rush) -> int:
    """Of orders that were confirmed when they were answered."""
    return sum(len(wish.answer["order"]["lines"]) for wish in rush.wishes if wish.answer and wish.answer["order"]["state"] == "CONFIRMED")
