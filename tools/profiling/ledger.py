"""The ledger: microseconds of CPU that one operation costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table

from tools.profiling.layers import LAYERS, NATIVE, layer_of
from tools.profiling.samples import Sample

LIMITS = """\
What the sampling cannot tell:
- Samples see a thread that runs or waits for a core, not what it has used: within one thread, waiting for a core counts as work does.
  Between threads it does not: each one's samples are weighed by the CPU that the kernel says it used.
- C code has no frames of its own. It counts for the Python that called it. What the event loop itself calls, gRPC's compiled code and the
  reading and writing of sockets included, is "event loop and kernel"; threads without Python, gRPC's above all, are "native threads".
- The worker is not stopped while its stack is read. What returns within microseconds may count for who called it, and now and then a
  stack is torn."""


def layer_seconds(cpu: float, threads: Mapping[int, float], samples: Sequence[Sample]) -> dict[str, float]:
    """Divides a worker's CPU among layers, in the order of `LAYERS`; empty when no thread did anything.

    Args:
        cpu: what the worker used, in seconds.
        threads: what each of its threads used, in seconds: the weights of their samples.
    """
    seen: Counter[int] = Counter()
    for sample in samples:
        seen[sample.thread] += sample.count
    weights = dict.fromkeys(LAYERS, 0.0)
    weights[NATIVE] = sum(used for thread, used in threads.items() if not seen[thread])
    for sample in samples:
        weights[layer_of(sample.stack)] += threads.get(sample.thread, 0.0) * sample.count / seen[sample.thread]
    whole = sum(weights.values())
    return {layer: cpu * weights[layer] / whole for layer in LAYERS if weights[layer]}


def microseconds(seconds: Mapping[str, float], operations: int) -> dict[str, int]:
    """What one operation costs, by the same names."""
    return {name: round(used * 1e6 / operations) for name, used in seconds.items()}


def process_table(costs: Mapping[str, int]) -> Table:
    """CPU by process."""
    table = _table("process", "µs")
    for name, cost in costs.items():
        table.add_row(name, f"{cost:,}")
    table.add_section()
    table.add_row("together", f"{sum(costs.values()):,}")
    return table


def layer_table(costs: Mapping[str, Mapping[str, int]]) -> Table:
    """CPU by layer, each worker's and that of all.

    Args:
        costs: by worker, then by layer.
    """
    table = _table("layer", *costs, "together", "share")
    sums = {layer: sum(worker.get(layer, 0) for worker in costs.values()) for layer in LAYERS}
    whole = sum(sums.values())
    for layer in (layer for layer in LAYERS if sums[layer]):
        own = [f"{worker.get(layer, 0):,}" for worker in costs.values()]
        table.add_row(layer, *own, f"{sums[layer]:,}", f"{100 * sums[layer] / whole:.1f} %")
    table.add_section()
    table.add_row("together", *(f"{sum(worker.values()):,}" for worker in costs.values()), f"{whole:,}", "")
    return table


def _table(first: str, *others: str) -> Table:
    table = Table(box=SIMPLE_HEAD)
    table.add_column(first, no_wrap=True)
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table
