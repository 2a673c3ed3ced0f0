"""./bazaar load"""

from __future__ import annotations

import json
from enum import StrEnum
from functools import partial
from typing import Annotated

import typer
import uvloop

from tests.invariants import violations
from tools import ExpectedFailure
from tools.auditing import lasting, servers_of
from tools.commands import HomeOption, home_of
from tools.home import Home
from tools.loading import Plan, run
from tools.loading.display import show
from tools.shop.screen import results

SCENARIO_HELP = """checkout: orders of filled carts. journey: from an empty cart to an order that is paid at the gateway and confirmed.
mixed: ten of browse to three calls for carts and one checkout. browse: product pages, listings and Top 10s. product,
category: the pages, or the listings, alone. top10: every Top 10."""
LOOKS, BETWEEN_LOOKS = 4, 10.0
"""How often the invariants are checked before they count as violated, and how many seconds apart."""


class Scenario(StrEnum):
    """What the load consists of."""

    checkout = "checkout"
    journey = "journey"
    mixed = "mixed"
    browse = "browse"
    product = "product"
    category = "category"
    top10 = "top10"


ScenarioArgument = Annotated[Scenario, typer.Argument(help=SCENARIO_HELP)]
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

    Products, customers and carts are made first, untimed. In an open loop (--rate) a latency counts from when its call was due; in a closed
    one (--concurrency) carts are made between the calls, so that the CPU time is theirs too.
    """
    plan, place = plan_of(scenario, seconds, rate, concurrency), home_of(context, home)
    figures = uvloop.run(run(plan, place))
    figures["violations"] = uvloop.run(_lasting_violations(place))
    if as_json:
        print(json.dumps(figures, indent=1))
    else:
        show(results(), figures)
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
