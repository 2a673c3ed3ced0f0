"""Products' details are read once for all answers, and never older than a second."""

from __future__ import annotations

import asyncio

import pytest

from services.kit.rpc.calls import outliving
from services.ranking import shown as shown_module
from services.ranking.shown import Shown
from tests.unit.ranking.asking import Catalogue


class Clock:
    """Stands in for the module `time`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(shown_module, "time", clock)
    return clock


@pytest.fixture
def catalogue() -> Catalogue:
    return Catalogue()


@pytest.fixture
def shown(clock: Clock, catalogue: Catalogue) -> Shown:
    return Shown(catalogue)  # type: ignore[arg-type]


async def titles(shown: Shown, *product_ids: str) -> list[str]:
    return [details.title for details in (await (await shown.page()).of(product_ids)).values()]


async def test_a_product_that_stands_in_two_rankings_is_read_once(shown: Shown, catalogue: Catalogue):
    await titles(shown, "saw", "axe")
    await titles(shown, "axe", "pot")

    assert catalogue.reads == [["saw", "axe"], ["pot"]]


async def test_a_product_nobody_knows_is_left_out_and_not_asked_for_again(shown: Shown, catalogue: Catalogue):
    assert await titles(shown, "unknown") == []
    assert await titles(shown, "unknown") == []
    assert catalogue.reads == [["unknown"]]


async def test_nothing_is_older_than_a_second(shown: Shown, clock: Clock):
    await titles(shown, "saw")
    clock.now += 1.01

    assert await titles(shown, "saw") == ["read 2"]


async def test_the_next_page_is_read_while_this_one_is_still_good(shown: Shown, clock: Clock, catalogue: Catalogue):
    await titles(shown, "saw", "axe")
    clock.now += 0.8
    meanwhile = await titles(shown, "saw")
    await asyncio.gather(*outliving())
    clock.now += 0.9

    assert (meanwhile, await titles(shown, "saw")) == (["read 1"], ["read 2"])
    assert catalogue.reads == [["saw", "axe"], ["saw", "axe"]]


async def begin_next(shown: Shown, clock: Clock, catalogue: Catalogue) -> None:
    """Has the next page begun, and held up until the catalogue lets it go."""
    await titles(shown, "saw", "axe")
    catalogue.let_go.clear()
    clock.now += 0.8
    await shown.page()
    await asyncio.sleep(0)


async def test_a_page_that_is_on_its_way_is_waited_for(shown: Shown, clock: Clock, catalogue: Catalogue):
    await begin_next(shown, clock, catalogue)
    clock.now += 0.3
    asking = [asyncio.create_task(titles(shown, product_id)) for product_id in ("saw", "axe")]
    await asyncio.sleep(0)
    catalogue.let_go.set()

    assert await asyncio.gather(*asking) == [["read 2"], ["read 2"]]
    assert catalogue.reads == [["saw", "axe"], ["saw", "axe"]]


async def test_a_page_that_comes_too_late_is_not_shown(shown: Shown, clock: Clock, catalogue: Catalogue):
    await begin_next(shown, clock, catalogue)
    clock.now += 1.01
    asking = asyncio.create_task(titles(shown, "saw"))
    await asyncio.sleep(0)
    catalogue.let_go.set()

    assert await asking == ["read 3"]


async def test_what_was_asked_for_lately_is_read_on(shown: Shown, clock: Clock, catalogue: Catalogue):
    for asked in ("saw", "axe", "axe"):
        await titles(shown, asked)
        clock.now += 0.8
        await shown.page()
        await asyncio.gather(*outliving())

    assert catalogue.reads == [["saw"], ["saw"], ["axe"], ["saw", "axe"], ["saw", "axe"]]


async def test_what_nobody_asks_for_any_more_is_read_no_more(shown: Shown, clock: Clock, catalogue: Catalogue):
    await titles(shown, "saw")
    clock.now += 4.5
    await titles(shown, "axe")
    clock.now += 0.8
    await shown.page()
    await asyncio.gather(*outliving())

    assert catalogue.reads == [["saw"], ["axe"], ["axe"]]


async def test_many_products_are_read_in_portions(shown: Shown, clock: Clock, catalogue: Catalogue):
    many = [f"p{number}" for number in range(120)]
    await titles(shown, *many)
    clock.now += 0.8
    await shown.page()
    await asyncio.gather(*outliving())

    assert [len(read) for read in catalogue.reads] == [120, 50, 50, 20]


async def test_a_page_names_the_services_that_could_not_be_asked(shown: Shown, clock: Clock, catalogue: Catalogue):
    catalogue.away = frozenset({"pricing"})
    await titles(shown, "saw")
    catalogue.away = frozenset()
    await titles(shown, "axe")
    degraded = (await shown.page()).away
    clock.now += 1.01
    await titles(shown, "saw")

    assert (degraded, (await shown.page()).away) == ({"pricing"}, frozenset())
