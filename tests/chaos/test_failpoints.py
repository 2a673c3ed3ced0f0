"""Every await on the way of an order fails, in every way: nothing is sold twice, charged twice, or left behind.

A case is a failpoint and what happens there (`failpoints/kinds.py`). Two customers do the same until the process comes there; then one asks
again with the same keys, the other never comes back, and time passes. What must hold then is in `tests/invariants.py`; and whoever asked
again has got what they wanted, and nothing is overdue.

A crash here is SIGKILL at the await itself, of a process that runs the whole shop, and another process goes on. So it shows what any state
of the servers between two effects leads to, but neither a server that dies (its disk is not tried) nor two processes at work at once
(`test_killed_workers.py`, `test_order_races.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.chaos.failpoints import discovery
from tests.chaos.failpoints.campaign import Campaign
from tests.chaos.failpoints.cases import ELSEWHERE, Case, chosen, reason_of
from tests.chaos.failpoints.world import opened
from tests.conftest import TestPostgres

LANES = ("one", "two", "three", "four", "five")
"""Most of a case is waiting."""

# The first test waits until all customers have passed all failpoints once.
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
async def campaign(
    request: pytest.FixtureRequest,
    postgres: TestPostgres,
    redis_url: str,
    mongo_url: str,
    short_directory: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Campaign]:
    """Under way with the cases that are wanted."""
    calls = [getattr(item, "callspec", None) for item in request.session.items]
    wanted = [call.params["case"] for call in calls if call and "case" in call.params]
    folder = tmp_path_factory.mktemp("lanes")
    async with AsyncExitStack() as stack:
        opening = [opened(name, folder, short_directory, postgres, redis_url, mongo_url) for name in LANES]
        lanes = await asyncio.gather(*map(stack.enter_async_context, opening))
        campaign = Campaign(lanes, wanted)
        await campaign.begin()
        yield campaign
        await campaign.end()


def test_what_is_left_out_is_there():
    names = discovery.find()

    assert [prefix for prefix in ELSEWHERE if not any(name.startswith(prefix) for name in names)] == []


async def test_customers_pass_every_failpoint(campaign: Campaign):
    assert [name for name in discovery.find() if name not in campaign.passed and not reason_of(name)] == []


@pytest.mark.parametrize("case", chosen(), ids=str)
async def test_nothing_comes_of_a_failure(campaign: Campaign, case: Case):
    await campaign.outcome(case)
