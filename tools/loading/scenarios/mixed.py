"""Several scenarios at once."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any, NamedTuple

from tools.loading.measures import Measures
from tools.loading.scenarios.scenario import Scenario

SEED = 20261122


class Chosen(NamedTuple):
    """A call of one of the scenarios."""

    kind: str
    shot: Any


class MixedScenario(Scenario):
    """Calls of other scenarios, in fixed shares; the kind of each is its scenario's name.

    Args:
        parts: the scenarios by name, each with its share.
    """

    def __init__(self, parts: Mapping[str, tuple[int, Scenario]]) -> None:
        self._parts = {name: scenario for name, (_, scenario) in parts.items()}
        self._kinds = shuffled({name: share for name, (share, _) in parts.items()}, SEED)

    async def seed(self, clients: int) -> None:
        for scenario in self._parts.values():
            await scenario.seed(clients)

    async def make(self) -> Chosen:
        kind = next(self._kinds)
        return Chosen(kind, await self._parts[kind].make())

    async def fire(self, shot: Chosen, measures: Measures) -> str:
        await self._parts[shot.kind].fire(shot.shot, measures)
        return shot.kind


def shuffled(shares: Mapping[str, int], seed: int) -> Iterator[str]:
    """Names without end: as many of each as its share in every round, and each round in an order of its own. The same for the same seed."""
    chance = random.Random(seed)
    one_round = list(chain.from_iterable([name] * share for name, share in shares.items()))
    while True:
        chance.shuffle(one_round)
        yield from one_round
