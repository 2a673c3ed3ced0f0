"""The figures of a load run, for a person."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

GENERATOR = "generator"
_POINTS = ("p50", "p90", "p95", "p99", "p99.9", "max")


def show(console: Console, figures: dict[str, Any]) -> None:
    """Prints what `run` returned, and the `violations` found afterwards."""
    _show_latencies(console, figures)
    console.print(_table(["CPU", "seconds", "ms an operation"], _cpu(figures["cpu_seconds"], figures["cpu_ms_per_operation"])))
    violations = figures["violations"]
    _say(console, [*_sentences(figures), "invariants: " + (f"{len(violations)} violated" if violations else "hold")])


def show_answers(console: Console, figures: dict[str, Any]) -> None:
    """Prints how the calls fared."""
    _show_latencies(console, figures)
    _say(console, _sentences(figures))


def _show_latencies(console: Console, figures: dict[str, Any]) -> None:
    console.print(_table(["latency, ms", *_POINTS, "samples"], _latencies(figures)))


def _say(console: Console, lines: Iterable[str]) -> None:
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _latencies(figures: dict[str, Any]) -> Iterable[list[str]]:
    """A row for all calls, then for each kind or step, then for how soon orders were ranked."""
    rows = {figures["scenario"]: {**figures["latency_ms"], "samples": figures["successes"]}}
    rows |= {f"  {name}": part for name, part in {**figures.get("kinds_ms", {}), **figures.get("steps_ms", {})}.items()}
    if visible := figures.get("visible_ms"):
        rows["order to visible rank"] = visible
    for name, row in rows.items():
        yield [name, *(f"{row[point]:.2f}" if point in row else "" for point in _POINTS), f"{row['samples']:,}"]


def _cpu(seconds: dict[str, float], per_operation: dict[str, float]) -> Iterable[list[str]]:
    """A row for each process, the generator last, after what all the others cost together."""
    shop = [name for name in seconds if name != GENERATOR]
    rows = [(name, seconds[name], per_operation.get(name, 0)) for name in shop]
    rows.append(("the shop", sum(seconds[name] for name in shop), sum(per_operation.get(name, 0) for name in shop)))
    rows.append((GENERATOR, seconds[GENERATOR], per_operation.get(GENERATOR, 0)))
    return [[name, f"{used:.2f}", f"{each:.3f}"] for name, used, each in rows]


def _sentences(figures: dict[str, Any]) -> Iterable[str]:
    loop = ", ".join(f"{name} {value}" for name, value in figures["loop"].items())
    yield f"{figures['scenario']}, {loop}: {figures['successes']:,} in {figures['seconds']} s, {figures['rate_per_second']} a second"
    if questions := figures.get("questions"):
        share = figures["cached"] / max(1, figures["successes"])
        yield f"different questions: {questions:,}; from the edge's cache: {share:.0%} of the answers"
    reasons = ", ".join(f"{reason} {count}" for reason, count in figures["failures_by_reason"].items())
    yield f"failures: {figures['failures']}" + (f" ({reasons})" if reasons else "")


def _table(columns: Sequence[str], rows: Iterable[list[str]]) -> Table:
    table = Table(box=SIMPLE_HEAD)
    for column in columns:
        table.add_column(column, justify="left" if column is columns[0] else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table
