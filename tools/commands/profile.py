"""./bazaar profile"""

from __future__ import annotations

import json
from typing import Any

import typer
import uvloop

from tools import profiling
from tools.commands import HomeOption, home_of
from tools.commands.load import ConcurrencyOption, JsonOption, RateOption, ScenarioArgument, SecondsOption, plan_of
from tools.loading.display import show_answers
from tools.profiling.ledger import LIMITS, layer_table, process_table
from tools.shop.screen import results


def profile(
    context: typer.Context,
    scenario: ScenarioArgument,
    seconds: SecondsOption = 15,
    rate: RateOption = None,
    concurrency: ConcurrencyOption = None,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Puts the same load on as `load` does, and says where the CPU goes: by process, and within the workers by layer.

    Samples the workers with py-spy meanwhile, and draws a flame graph of each.
    """
    plan = plan_of(scenario, seconds, rate, concurrency)
    figures = uvloop.run(profiling.profile(plan, home_of(context, home)))
    if as_json:
        print(json.dumps(figures, indent=1))
    else:
        _show(figures)


def _show(figures: dict[str, Any]) -> None:
    console = results()
    show_answers(console, figures)
    console.print("\nCPU by process, an operation", highlight=False)
    console.print(process_table(figures["process_us"]))
    console.print("CPU of the workers by layer, µs an operation", highlight=False)
    console.print(layer_table(figures["layer_us"]))
    for worker, seen in figures["samples"].items():
        print(f"samples of {worker}: {seen:,}, and {figures['failed_samples'][worker]:,} that failed")
    print(LIMITS)
    for worker, path in figures["flame_graphs"].items():
        print(f"flame graph of {worker}: {path}")
