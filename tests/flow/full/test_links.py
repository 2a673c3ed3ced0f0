"""The links between a full shop's processes are slow, cut, or silent, and its servers freeze with nobody there to replace them.

All under orders. Those never stop for Redis, the index and the bus; for the others they are refused with word to ask again, at worst; and
within ten seconds of the end of it all is well again.
"""

from __future__ import annotations

import asyncio
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path

import httpx
import pytest

from services.kit.events.pulsar.address import Address
from tests.chaos.full_service import served
from tests.chaos.recovery import BAR, RATE, Row, assert_nothing_is_lost, go_well, recovered
from tests.chaos.rush import Rush, rushing
from tests.linked import NEEDED, SPARED, Linked

pytestmark = [pytest.mark.edge, pytest.mark.full]

SLOW_SECONDS, CUT_SECONDS, LONG_SECONDS = 3.0, 4.0, 20.0
DELAY, JITTER = 0.2, 0.05
WAITING, FEW = 100, 20
"""Events in the outboxes that show that the bus takes none; and that it does."""


@pytest.fixture(scope="module")
def linked(pulsar_jars: Path, opensearch_distribution: Path) -> Iterator[Linked]:
    with tempfile.TemporaryDirectory(prefix="bzl-", dir="/tmp") as folder:
        shop = Linked(Path(folder))
        with shop.up():
            yield shop


@pytest.fixture(scope="module")
async def rush(linked: Linked) -> AsyncIterator[Rush]:
    """Orders, all the time."""
    async with rushing(linked, RATE) as rush:
        yield rush


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    """What came of each fault so far."""
    return []


class Trial:
    """One fault, from its beginning to the time when all is well again."""

    def __init__(self, linked: Linked, rush: Rush, rows: list[Row]) -> None:
        self._linked = linked
        self._rush = rush
        self._rows = rows
        self._began = 0.0

    async def begin(self) -> None:
        """Once all is well."""
        await go_well(self._rush)
        self._began = time.monotonic()

    async def end(self, names: Sequence[str], how: str) -> None:
        """All is well in time, now that it is over."""
        over_at = time.monotonic()
        seconds = await served(self._linked, self._rush, over_at)
        row = await recovered(self._rush, " ".join(names), how, self._began, over_at)
        self._rows.append(row)
        print(row, f"well after {seconds:.1f} s")
        assert row.is_passing
        assert row.after_up <= BAR
        if set(names) <= set(SPARED):
            assert not row.refused


@pytest.fixture
def trial(linked: Linked, rush: Rush, rows: list[Row]) -> Trial:
    return Trial(linked, rush, rows)


@pytest.mark.parametrize("names", [SPARED, *((name,) for name in NEEDED), ("worker-1", "worker-2")], ids=" ".join)
async def test_a_slow_link(linked: Linked, trial: Trial, names: Sequence[str]):
    await trial.begin()
    linked.links.slow(*names, seconds=DELAY, jitter=JITTER)
    await asyncio.sleep(SLOW_SECONDS)
    linked.links.heal(*names)

    await trial.end(names, "SLOW")


@pytest.mark.parametrize("name", [*SPARED, *NEEDED, "worker-1"])
async def test_a_link_that_is_cut(linked: Linked, trial: Trial, name: str):
    await trial.begin()
    linked.links.cut(name)
    await asyncio.sleep(CUT_SECONDS)
    linked.links.heal(name)

    await trial.end([name], "CUT")


@pytest.mark.parametrize("names", [SPARED, *((name,) for name in NEEDED), ("worker-1",)], ids=" ".join)
async def test_a_link_that_is_half_open(linked: Linked, trial: Trial, names: Sequence[str]):
    await trial.begin()
    linked.links.silence(*names)
    await asyncio.sleep(LONG_SECONDS)
    linked.links.heal(*names)

    await trial.end(names, "GONE")


@pytest.mark.parametrize("names", [SPARED, NEEDED], ids=" ".join)
async def test_servers_that_freeze(linked: Linked, trial: Trial, names: Sequence[str]):
    await trial.begin()
    for name in names:
        linked.send(name, signal.SIGSTOP)
    await asyncio.sleep(LONG_SECONDS)
    for name in names:
        linked.send(name, signal.SIGCONT)

    await trial.end(names, "STOP")


async def test_the_bus_has_all_that_it_may_keep(linked: Linked, trial: Trial):
    """Somebody wants to be told of orders and never comes: what is kept for them is as much as the bus may keep, and it takes no more."""
    address = Address.parse(linked.pulsar.admin_url())
    quota, nobody = f"namespaces/{address.namespace}/backlogQuota", f"persistent/{address.namespace}/orders/subscription/nobody"
    await trial.begin()
    headers = {"authorization": f"Bearer {address.token}"}
    async with httpx.AsyncClient(base_url=f"{address.admin}/admin/v2/", headers=headers, trust_env=False, timeout=10) as admin:
        (await admin.put(nobody)).raise_for_status()
        (await admin.post(quota, json={"limitSize": 1000, "policy": "producer_exception"})).raise_for_status()
        await _until_waiting(linked, LONG_SECONDS + BAR, lambda count: count >= WAITING)
        (await admin.delete(f"{nobody}?force=true")).raise_for_status()
        (await admin.delete(quota)).raise_for_status()

    await _until_waiting(linked, BAR, lambda count: count < FEW)
    await trial.end(["pulsar"], "FULL")


async def test_nothing_was_lost_or_doubled(linked: Linked, rush: Rush, rows: list[Row], capsys: pytest.CaptureFixture[str]):
    await rush.end()
    with capsys.disabled():
        print(await assert_nothing_is_lost(linked, rush, rows))


async def _until_waiting(linked: Linked, seconds: float, is_enough: Callable[[int], bool]) -> None:
    async with asyncio.timeout(seconds):
        while not is_enough(await linked.waiting()):
            await asyncio.sleep(0.1)
