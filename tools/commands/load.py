"""./bazaar load"""

from __future__ import annotations

import json
from enum import StrEnum
from functools import partial
from typing import Annotated, Any

import typer
import uvloop

from tests.invariants import violations
from tools import ExpectedFailure
from tools.auditing import lasting, servers_of
from tools.commands import HomeOption, home_of
from tools.home import Home
from tools.loading import Plan, run

LOOKS, BETWEEN_LOOKS = 4, 10.0
"""How often the invariants are checked before they count as violated, and how many seconds apart."""


class Scenario(StrEnum):
    """What the load consists of."""

    checkout = "checkout"
    top10 = "top10"
    browse = "browse"


ScenarioArgument = Annotated[Scenario, typer.Argument(help="Orders of filled carts, Top 10s, or product pages and listings.")]
SecondsOption = Annotated[float, typer.Option("--seconds", min=1, metavar="S", help="How long.")]
RateOption = Annotated[float | None, typer.Option("--rate", min=0.1, metavar="R", help="Calls a second, whatever the answers take.")]
ConcurrencyOption = Annotated[
    int | None, typer.Option("--concurrency", min=1, metavar="C", help="Clients, each of which waits for its answer.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the figures as JSON, and nothing else.")]


def load(
    context: typer.Context,
    scenario: ScenarioArgument,
    seconds: SecondsOption = 30,
    rate: RateOption = None,
    concurrency: ConcurrencyOption = None,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Puts load on the edge, says how it fared, and checks afterwards that the shop's invariants hold.

    Products, customers and carts are made first, untimed. In an open loop (--rate) a latency counts from when its call was due.
    """
    plan, place = plan_of(scenario, seconds, rate, concurrency), home_of(context, home)
    figures = uvloop.run(run(plan, place))
    figures["violations"] = uvloop.run(_lasting_violations(place))
    if as_json:
        print(json.dumps(figures, indent=1))
    else:
        show_answers(figures)
        print("CPU seconds: " + ", ".join(f"{name} {used}" for name, used in figures["cpu_seconds"].items()))
        print("invariants: " + ("hold" if not figures["violations"] else f"{len(figures['violations'])} violated"))
    if figures["violations"]:
        raise ExpectedFailure(f"{len(figures['violations'])} invariants do not hold, the first: {figures['violations'][0]}")


def plan_of(scenario: Scenario, seconds: float, rate: float | None, concurrency: int | None) -> Plan:
    """The load that the options ask for.

    Raises:
        ExpectedFailure: they ask for no loop, or for both.
    """
    if (rate is None) == (concurrency is None):
        raise ExpectedFailure("give either --rate (open loop) or --concurrency (closed loop)")
    return Plan(scenario, seconds, rate, concurrency)


async def _lasting_violations(home: Home) -> list[str]:
    """What doesn't hold even once the calls have ended whose clients had stopped waiting."""
    return await lasting(partial(violations, servers_of(home)), LOOKS, BETWEEN_LOOKS)


def show_answers(figures: dict[str, Any]) -> None:
    """Says how the calls fared."""
    loop = ", ".join(f"{name} {value}" for name, value in figures["loop"].items())
    print(f"{figures['scenario']}, {loop}: {figures['successes']:,} in {figures['seconds']} s, {figures['rate_per_second']} a second")
    print(_milliseconds("latency", figures["latency_ms"]))
    if visible := figures.get("visible_ms"):
        print(_milliseconds("order to visible rank", {name: visible[name] for name in ("p50", "p95", "p99", "max") if name in visible}))
    reasons = ", ".join(f"{reason} {count}" for reason, count in figures["failures_by_reason"].items())
    print(f"failures: {figures['failures']}" + (f" ({reasons})" if reasons else ""))


def _milliseconds(title: str, values: dict[str, float]) -> str:
    return f"{title}: " + (", ".join(f"{name} {value} ms" for name, value in values.items()) or "none")
