from collections import Counter
from itertools import islice

from tools.loading.measures import Measures
from tools.loading.scenarios.mixed import MixedScenario, shuffled
from tools.loading.scenarios.scenario import Scenario

SHARES = {"browse": 10, "cart": 3, "checkout": 1}


def drawn(count, seed=1):
    return list(islice(shuffled(SHARES, seed), count))


class Echo(Scenario):
    """Numbers its calls, and keeps those that were made."""

    def __init__(self):
        self.made, self.fired = 0, []

    async def make(self):
        self.made += 1
        return self.made

    async def fire(self, shot, measures):
        self.fired.append(shot)
        return "its own"


def test_every_round_holds_the_shares():
    names = drawn(14 * 50)

    assert [Counter(names[start : start + 14]) for start in range(0, len(names), 14)] == [SHARES] * 50


def test_rounds_differ_from_each_other():
    names = drawn(14 * 50)

    assert len({tuple(names[start : start + 14]) for start in range(0, len(names), 14)}) > 40


def test_the_order_is_the_same_for_the_same_seed():
    assert drawn(1000) == drawn(1000)
    assert drawn(1000) != drawn(1000, seed=2)


async def test_a_mixture_makes_and_fires_the_calls_of_its_parts():
    cheap, dear = Echo(), Echo()
    mixed, measures = MixedScenario({"cheap": (3, cheap), "dear": (1, dear)}), Measures()
    kinds = [await mixed.fire(await mixed.make(), measures) for _ in range(8)]

    assert Counter(kinds) == {"cheap": 6, "dear": 2}
    assert (cheap.fired, dear.fired) == ([1, 2, 3, 4, 5, 6], [1, 2])
