"""One profile: the load, the samples, and what both say together."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tools import ExpectedFailure
from tools.home import Home
from tools.loading import Plan, run
from tools.profiling.flames import flame_graph
from tools.profiling.ledger import layer_seconds, microseconds
from tools.profiling.sampling import Sampler, sampling
from tools.servers.worker import Worker


async def profile(plan: Plan, home: Home) -> dict[str, Any]:
    """Puts the load on, samples the workers meanwhile, and returns the load's figures with the ledger's.

    Raises:
        ExpectedFailure: the shop doesn't run, can't be sampled, or answered no call.
    """
    workers, folder = _workers(home), _folder(home, plan)
    samplers = [Sampler(name, pid, folder) for name, pid in workers.items()]
    async with sampling(samplers):
        pass  # Who can't sample is told before everything is prepared, not after.
    figures = await run(plan, home, sampling(samplers))
    if gone := [sampler.worker for sampler in samplers if sampler.worker not in figures["cpu_seconds"]]:
        raise ExpectedFailure(f"{gone[0]} ended under the load; ./bazaar logs {gone[0]} says why")
    if not figures["successes"]:
        raise ExpectedFailure("no call succeeded, so there is nothing to divide by")
    return {**figures, **_ledger(figures["cpu_seconds"], figures["successes"], samplers), "flame_graphs": _draw(samplers, folder)}


def _ledger(cpu: dict[str, float], operations: int, samplers: Sequence[Sampler]) -> dict[str, Any]:
    layers = {sampler.worker: layer_seconds(cpu[sampler.worker], sampler.threads, sampler.samples) for sampler in samplers}
    return {
        "process_us": microseconds(cpu, operations),
        "layer_us": {worker: microseconds(seconds, operations) for worker, seconds in layers.items()},
        "samples": {sampler.worker: sum(sample.count for sample in sampler.samples) for sampler in samplers},
        "failed_samples": {sampler.worker: sampler.errors for sampler in samplers},
    }


def _draw(samplers: Sequence[Sampler], folder: Path) -> dict[str, str]:
    paths = {sampler.worker: folder / f"{sampler.worker}.svg" for sampler in samplers}
    for sampler in samplers:
        stacks = [(sample.stack, sample.count) for sample in sampler.samples]
        paths[sampler.worker].write_text(flame_graph(f"{sampler.worker}, {folder.name}", stacks))
    return {worker: str(path) for worker, path in paths.items()}


def _workers(home: Home) -> dict[str, int]:
    state = home.read_state()
    if state is None or not state.is_running():
        raise ExpectedFailure("Bazaar is not running here; ./bazaar up starts it")
    return {process.name: process.identity.pid for process in state.processes if process.role == Worker.role and process.identity}


def _folder(home: Home, plan: Plan) -> Path:
    folder = home.folder("profiles") / f"{plan.scenario}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder
