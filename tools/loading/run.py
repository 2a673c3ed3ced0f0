"""One load run, from seeding to the figures."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from tools import ExpectedFailure
from tools.home import Home
from tools.loading.measures import CpuMeter, Measures, per_operation, percentiles
from tools.loading.pacing import closed_loop, open_loop
from tools.loading.scenarios import SCENARIOS, CheckoutScenario, Scenario
from tools.loading.seeds import Seeds, in_parallel
from tools.loading.visibility import Watcher
from tools.shop import Shop, edge_of
from tools.shop.screen import bar

CONNECTIONS = 1024
WARM_UP = 50
"""Calls that aren't counted: the first ones open the services' database connections."""
SEED = 20260103
CUSTOMERS_PER_CLIENT = 8
Beside = AbstractAsyncContextManager[Mapping[str, int]]
"""Yields its processes, by name, so that their CPU is told too."""
NOTHING: Beside = nullcontext({})


@dataclass(frozen=True)
class Plan:
    """What load to put on."""

    scenario: str
    seconds: float
    rate: float | None = None
    """Calls a second, in an open loop; in its absence …"""
    concurrency: int | None = None
    """… so many clients in a closed one."""

    @property
    def shots(self) -> int:
        """How many calls an open loop makes."""
        return max(1, round((self.rate or 0) * self.seconds))

    @property
    def clients(self) -> int:
        """Who might be calling: each client of a closed loop as several customers."""
        return self.shots if self.rate else (self.concurrency or 1) * CUSTOMERS_PER_CLIENT


async def run(plan: Plan, home: Home, beside: Beside = NOTHING) -> dict[str, Any]:
    """Seeds the shop, puts the load on, and returns the figures.

    Args:
        beside: what is to go on while the load does.

    Raises:
        ExpectedFailure: the shop doesn't run, or refuses what is seeded.
    """
    shop = Shop(edge_of(home), connections=CONNECTIONS)
    seeds = Seeds(shop, home, SEED)
    scenario = SCENARIOS[plan.scenario](seeds)
    await scenario.seed(plan.clients)
    watcher = Watcher(seeds) if isinstance(scenario, CheckoutScenario) else None
    if watcher:
        await watcher.prepare()
    shots = await _shots(scenario, plan)
    await _warm_up(scenario)
    cached = -shop.cached
    async with beside as others:
        meter = CpuMeter({**_pids(home), **others})
        async with _watching(watcher):
            with _sparing_the_collector():
                measures = await _load(scenario, plan, shots)
        cpu = meter.used()
    cached += shop.cached
    seeds.close()
    return {
        "scenario": plan.scenario,
        "loop": {"rate": plan.rate} if plan.rate else {"concurrency": plan.concurrency},
        "seconds": round(measures.lasted, 2),
        **({"questions": len(scenario.questions), "cached": cached} if scenario.questions else {}),
        **measures.as_json(),
        **({"visible_ms": {**percentiles(watcher.seconds), "samples": len(watcher.seconds), "missed": watcher.missed}} if watcher else {}),
        "cpu_seconds": cpu,
        "cpu_ms_per_operation": per_operation(cpu, measures.successes),
    }


async def _warm_up(scenario: Scenario) -> None:
    """Each question once: a shop that is asked so much is never cold."""
    shots = scenario.questions or await in_parallel([scenario.make] * WARM_UP, lambda done: None)
    uncounted = Measures()
    await in_parallel([lambda shot=shot: scenario.fire(shot, uncounted) for shot in shots], lambda done: None)


async def _shots(scenario: Scenario, plan: Plan) -> list[Any]:
    """All that an open loop will fire, made beforehand."""
    if not plan.rate:
        return []
    with bar("Preparing", plan.shots) as told:
        return await in_parallel([scenario.make] * plan.shots, told)


async def _load(scenario: Scenario, plan: Plan, shots: list[Any]) -> Measures:
    if plan.rate:
        with bar("Load", len(shots)) as told:
            return await open_loop(scenario.fire, shots, plan.rate, told)
    with bar("Load (seconds)", int(plan.seconds)) as told:
        return await closed_loop(scenario.fire, scenario.make, plan.seconds, plan.concurrency or 1, told)


@contextmanager
def _sparing_the_collector() -> Iterator[None]:
    """What was made beforehand stays until the end: a garbage collector that went through all of it now and then would hold up the calls
    by a tenth of a second each time, and the latencies would be its own.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@asynccontextmanager
async def _watching(watcher: Watcher | None) -> AsyncIterator[None]:
    task = asyncio.create_task(watcher.watch()) if watcher else None
    try:
        yield
    finally:
        if task:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def _pids(home: Home) -> dict[str, int]:
    state = home.read_state()
    if state is None:
        raise ExpectedFailure("Bazaar is not running here; ./bazaar up starts it")
    return {**{process.name: process.identity.pid for process in state.processes if process.identity}, "generator": os.getpid()}
