"""Boards held against a recount, and rivals that come between two steps."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from services.ranking.model import Line
from tests.ranked import Ranked, every_query, recount

LIVE, HISTORICAL = True, False


async def assert_exact(worker: Ranked, lines: list[Line], is_live: bool = LIVE) -> None:
    for asked in every_query(lines)[::7]:
        expected = recount(lines, asked, 5, worker.minute)
        answer = await worker.top(asked, 5)
        assert (answer.counts, answer.is_live) == (expected, is_live and bool(expected)), asked


def then(monkeypatch: pytest.MonkeyPatch, owner: Any, method: str, rival: Callable[[], Awaitable[Any]]) -> None:
    """The rival runs right after the first call of a method has its result."""
    original = getattr(owner, method)

    async def followed(*args: Any, **named: Any) -> Any:
        monkeypatch.setattr(owner, method, original)
        found = await original(*args, **named)
        await rival()
        return found

    monkeypatch.setattr(owner, method, followed)


async def boards_of(worker: Ranked, root: str) -> list[str]:
    """The prefixes of all boards that Redis holds of a root."""
    keys = [key.decode() async for key in worker.redis.scan_iter(match=f"rank:{{{root}}}:1:*")]
    return sorted({":".join(key.split(":")[:4]) for key in keys if not key.endswith(":head")})
