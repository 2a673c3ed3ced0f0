"""Products as services ask for them: by id and by SKU, many callers in one question."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from services.catalog.model import READABLE, Product, State, Variant
from tests.unit.catalog.sample import Stores, a_product


async def test_products_are_found_by_id_and_by_sku_each_once(stores: Stores) -> None:
    await stores.products.put([a_product("p", "p-1", "p-2"), a_product("q", "q-1"), a_product("r")])

    found = await stores.products.lookup.products(["p", "nope"], ["p-1", "p-2", "q-1", "nope\0"], {"title", "variants.sku"})

    assert sorted(product.product_id for product in found) == ["p", "q"]


async def test_of_products_at_length_only_the_named_fields_are_read(stores: Stores) -> None:
    await stores.products.put([a_product("p", "p-1", path=("Toys", "Screens"))])

    [found] = await stores.products.lookup.products(["p"], [], {"category_id", "variants.sku", "state", "description"})

    assert found == Product("p", category_id="toys.screens", variants=(Variant("p-1"),), state=State.ACTIVE)


async def test_asking_for_nothing_finds_nothing(stores: Stores) -> None:
    assert await stores.products.lookup.products([], [], READABLE) == []


async def test_callers_at_the_same_time_get_what_each_asked_for(stores: Stores) -> None:
    await stores.products.put([a_product("p", "p-1"), a_product("q", "q-1"), a_product("r", "r-1")])
    ask = stores.products.lookup.products

    found = await asyncio.gather(
        ask(["p"], [], {"title"}), ask([], ["q-1", "p-1"], {"title"}), ask(["r"], [], {"state"}), ask(["nope"], [], {"title"})
    )

    assert [sorted(product.product_id for product in each) for each in found] == [["p"], ["p", "q"], ["r"], []]


async def test_callers_at_the_same_time_cost_one_question(stores: Stores) -> None:
    await stores.products.put([a_product(f"p{place}") for place in range(20)])
    await stores.database.command("profile", 2)

    await asyncio.gather(*(stores.products.lookup.products([f"p{place}"], [], {"title"}) for place in range(20)))

    await stores.database.command("profile", 0)
    assert len(await stores.database["system.profile"].find({"op": "query"}).to_list()) == 1


async def test_a_question_sees_what_was_written_before_it(stores: Stores) -> None:
    await stores.products.put([a_product("p")])
    early = asyncio.create_task(stores.products.lookup.products(["p"], [], {"state"}))
    await asyncio.sleep(0)
    await stores.products.change("p", lambda before: replace(before, state=State.ARCHIVED))

    [late] = await stores.products.lookup.products(["p"], [], {"state"})

    await early
    assert late.state is State.ARCHIVED
