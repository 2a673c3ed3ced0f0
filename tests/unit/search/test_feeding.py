"""Copies of the index brought up to date, flipped, lost and filled again."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from services.kit.errors import Unavailable
from services.search.feeding import Feeder
from services.search.index import IndexAway, ProductIndex, open_index
from services.search.model import Query, Slice
from services.search.store import SearchStore
from tests.unit.search.telling import product, stock


@pytest.fixture
async def index(tmp_path: Path) -> AsyncIterator[ProductIndex]:
    index = open_index(f"file://{tmp_path}", "w")
    await index.open()
    yield index
    await index.close()


@pytest.fixture
def feeder(store: SearchStore, index: ProductIndex) -> Feeder:
    return Feeder(store, index)


async def found(index: ProductIndex) -> set[str]:
    return {hit.product.product_id for hit in (await index.search(Query(slice=Slice(100)))).hits}


async def test_a_first_turn_fills_the_index_and_has_it_answer(store: SearchStore, index: ProductIndex, feeder: Feeder) -> None:
    await store.put_products([product("tv"), product("old", is_shown=False)])

    await feeder.turn()

    assert (await index.live(), await found(index)) == ("v1-1", {"tv"})


async def test_a_shop_that_sells_nothing_has_an_index_too(index: ProductIndex, feeder: Feeder) -> None:
    await feeder.turn()

    assert (await index.live(), await found(index)) == ("v1-1", set())


async def test_each_turn_brings_what_has_changed(store: SearchStore, index: ProductIndex, feeder: Feeder) -> None:
    await store.put_products([product("tv"), product("lamp")])
    await feeder.turn()
    await store.put_stock([stock("tv")])
    await store.put_products([product("lamp", 2, is_shown=False), product("shirt")])

    await feeder.turn()

    answer = await index.search(Query())
    assert {hit.product.product_id: hit.product.in_stock for hit in answer.hits} == {"tv": True, "shirt": False}


async def test_more_than_one_portion_is_fed(store: SearchStore, index: ProductIndex, feeder: Feeder) -> None:
    for start in range(0, 2500, 500):
        await store.put_products([product(f"p{number}") for number in range(start, start + 500)])

    await feeder.turn()

    assert await index.count("v1-1") == 2500


async def test_another_process_begins_where_its_own_index_stands(store: SearchStore, tmp_path: Path, feeder: Feeder) -> None:
    await store.put_products([product("tv")])
    await feeder.turn()
    await store.put_products([product("lamp")])
    again = open_index(f"file://{tmp_path}", "w")
    await again.open()

    assert await found(again) == {"tv"}
    await Feeder(store, again).turn()
    assert await found(again) == {"tv", "lamp"}


async def test_a_wanted_copy_is_filled_and_flipped_to_and_the_way_back_brings_what_is_new(
    store: SearchStore, index: ProductIndex, feeder: Feeder
) -> None:
    await store.put_products([product("tv")])
    await feeder.turn()
    await store.want_new_copy()
    await feeder.turn()
    assert (await index.live(), await found(index)) == ("v1-2", {"tv"})
    await store.put_products([product("lamp")])
    await store.want_previous_copy()

    await feeder.turn()

    assert (await index.live(), await found(index)) == ("v1-1", {"tv", "lamp"})


async def test_a_copy_that_holds_something_else_is_filled_from_the_beginning(
    store: SearchStore, index: ProductIndex, feeder: Feeder
) -> None:
    await store.put_products([product("tv"), product("lamp")])
    [first, last] = await store.changed(0, 10)
    await index.put("v1-1", [last], last.position)
    assert await index.count("v1-1") == 1

    await feeder.turn()

    assert await found(index) == {first.product_id, last.product_id}


async def test_a_copy_that_is_ahead_of_the_truth_is_replaced(store: SearchStore, index: ProductIndex, feeder: Feeder) -> None:
    await store.put_products([product("tv")])
    [change] = await store.changed(0, 10)
    await index.put("v1-1", [replace(change, product_id="ghost", position=99)], 99)
    await index.flip("v1-1")
    with pytest.raises(Unavailable):
        await feeder.turn()

    await feeder.turn()

    assert (await index.live(), await found(index)) == ("v1-2", {"tv"})


async def test_a_lost_folder_is_filled_anew(store: SearchStore, tmp_path: Path, feeder: Feeder) -> None:
    await store.put_products([product("tv")])
    await feeder.turn()
    shutil.rmtree(tmp_path / "w" / "v1-1")
    again = open_index(f"file://{tmp_path}", "w")
    await again.open()
    with pytest.raises(IndexAway):
        await again.search(Query())

    await Feeder(store, again).turn()

    assert await found(again) == {"tv"}
