"""What load consists of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from tools.loading.scenarios.carts import CartScenario
from tools.loading.scenarios.checkout import CheckoutScenario
from tools.loading.scenarios.journey import JourneyScenario
from tools.loading.scenarios.mixed import MixedScenario
from tools.loading.scenarios.reading import BrowseScenario, TopScenario
from tools.loading.scenarios.scenario import Scenario
from tools.loading.seeds import Seeds

__all__ = ["SCENARIOS", "CheckoutScenario", "Scenario"]


def _mixed(seeds: Seeds) -> Scenario:
    return MixedScenario(
        {"browse": (10, BrowseScenario(seeds)), "cart": (3, CartScenario(seeds)), "checkout": (1, CheckoutScenario(seeds))}
    )


SCENARIOS: Mapping[str, Callable[[Seeds], Scenario]] = {
    "checkout": CheckoutScenario,
    "journey": JourneyScenario,
    "mixed": _mixed,
    "browse": BrowseScenario,
    "product": partial(BrowseScenario, products=1, listings=0),
    "category": partial(BrowseScenario, products=0, listings=1),
    "top10": TopScenario,
}
"""By the names that `./bazaar load` knows them by."""
