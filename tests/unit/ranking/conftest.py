import random
from collections.abc import AsyncIterator

import pytest

from services.ranking.model import Line
from tests.ranked import Ranked, emptied, ranked
from tests.unit.ranking.shopping import shopping


@pytest.fixture
async def worker(module_database_url: str, empty_redis_url: str) -> AsyncIterator[Ranked]:
    """A worker process's rankings, nothing counted yet."""
    async with ranked(await emptied(module_database_url), empty_redis_url) as worker:
        yield worker


@pytest.fixture
async def rival(worker: Ranked) -> AsyncIterator[Ranked]:
    """Another process on the same servers."""
    async with ranked(worker.database.url, worker.redis_url) as rival:
        yield rival


@pytest.fixture
def lines() -> list[Line]:
    """What random customers ordered and gave back."""
    return shopping(random.Random(11), 120)
