"""Products on a real MongoDB: each SKU has one owner, whoever comes at once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from services.catalog.model import READABLE, Product, ProductExists, ProductNotFound, State, Variant, changed
from services.catalog.store import Section
from services.kit.idempotency import RequestIdReused, RequestKey
from tests.unit.catalog.sample import NOW, Stores, a_product, title_of

KEY = RequestKey("user:1", "/bazaar.catalog.v1.CatalogService/CreateProduct", "k1", b"fingerprint")


async def test_a_product_is_read_as_it_was_stored(stores: Stores) -> None:
    attributes = {"$set": {"a.b": [1.5, None, True, "x"]}, "": "empty"}
    product = replace(a_product("tv", "tv-red"), attributes=attributes, image_urls=("https://img/1",), description="a\0b")

    await stores.products.create(product, None, title_of)

    assert await stores.products.product("tv") == product


async def test_a_product_of_1_mb_passes(stores: Stores) -> None:
    product = replace(a_product("tv"), attributes={"manual": "x" * 1_000_000})

    await stores.products.create(product, None, title_of)

    assert await stores.products.product("tv") == product


async def test_an_unknown_product_is_not_found(stores: Stores) -> None:
    with pytest.raises(ProductNotFound) as missing:
        await stores.products.product("nope")

    assert (missing.value.reason, missing.value.metadata) == ("PRODUCT_NOT_FOUND", {"product_id": "nope"})


async def test_a_taken_product_id_is_refused_and_changes_nothing(stores: Stores) -> None:
    await stores.products.create(a_product("p", "a"), None, title_of)

    with pytest.raises(ProductExists) as refused:
        await stores.products.create(a_product("p", "b", title="Radio"), None, title_of)

    assert refused.value.reason == "PRODUCT_EXISTS"
    assert ((await stores.products.product("p")).title, await stores.skus()) == ("TV", {"a": "p"})


async def test_a_taken_sku_is_refused_and_changes_nothing(stores: Stores) -> None:
    await stores.products.create(a_product("p", "a"), None, title_of)

    with pytest.raises(ProductExists):
        await stores.products.create(a_product("q", "b", "a"), None, title_of)

    assert await stores.skus() == {"a": "p"}
    with pytest.raises(ProductNotFound):
        await stores.products.product("q")


async def test_a_repeated_request_gets_the_answer_that_was_given(stores: Stores) -> None:
    first = await stores.products.create(a_product("generated-1"), KEY, title_of)

    second = await stores.products.create(a_product("generated-2", title="other"), KEY, title_of)

    assert (first, second) == (b"TV", b"TV")
    assert await stores.skus() == {"generated-1": "generated-1"}


async def test_a_repeat_with_the_same_product_id_gets_the_answer_too(stores: Stores) -> None:
    await stores.products.create(a_product("p"), KEY, title_of)

    assert await stores.products.create(a_product("p"), KEY, title_of) == b"TV"


async def test_a_request_id_used_for_something_else_is_refused(stores: Stores) -> None:
    await stores.products.create(a_product("p"), KEY, title_of)

    with pytest.raises(RequestIdReused) as refused:
        await stores.products.create(a_product("q"), replace(KEY, fingerprint=b"other"), title_of)

    assert refused.value.reason == "REQUEST_ID_REUSED"
    assert await stores.skus() == {"p": "p"}


async def test_a_refused_product_does_not_burn_its_request_id(stores: Stores) -> None:
    await stores.products.create(a_product("p"), None, title_of)
    with pytest.raises(ProductExists):
        await stores.products.create(a_product("p"), KEY, title_of)

    assert await stores.products.create(a_product("q"), replace(KEY, fingerprint=b"other"), title_of) == b"TV"


async def test_rivals_with_one_request_id_create_one_product(stores: Stores) -> None:
    answers = await asyncio.gather(*(stores.products.create(a_product(f"p{i}", title="TV"), KEY, title_of) for i in range(4)))

    assert answers == [b"TV"] * 4
    assert len(await stores.skus()) == 1


async def test_rivals_for_one_sku_leave_one_owner(stores: Stores) -> None:
    results = await asyncio.gather(
        *(stores.products.create(a_product(f"p{i}", "a"), None, title_of) for i in range(4)), return_exceptions=True
    )

    assert sorted(type(result).__name__ for result in results) == ["ProductExists"] * 3 + ["bytes"]
    assert len(await stores.products.lookup.products([f"p{i}" for i in range(4)], [], {"title"})) == 1


async def test_a_change_is_stored_with_its_version(stores: Stores) -> None:
    await stores.products.create(a_product("p"), None, title_of)

    after = await stores.products.change("p", lambda stored: changed(stored, Product(title="Radio"), {"title"}, "", NOW))

    assert (after.title, after.etag) == ("Radio", "2")
    assert await stores.products.product("p") == after


async def test_a_change_of_nothing_keeps_the_version(stores: Stores) -> None:
    await stores.products.create(a_product("p"), None, title_of)
    later = NOW + timedelta(days=1)

    after = await stores.products.change("p", lambda stored: changed(stored, Product(title="TV"), {"title"}, "", later))

    assert after == await stores.products.product("p") == a_product("p")


async def test_a_change_of_a_number_to_a_truth_is_one(stores: Stores) -> None:
    await stores.products.create(replace(a_product("p"), attributes={"is_new": 1.0}), None, title_of)

    await stores.products.change("p", lambda stored: changed(stored, Product(attributes={"is_new": True}), {"attributes"}, "", NOW))

    assert (await stores.products.product("p")).attributes["is_new"] is True


async def test_a_change_runs_again_when_a_rival_came_between_reading_and_writing(stores: Stores) -> None:
    await stores.products.create(a_product("p"), None, title_of)
    read, released = asyncio.Event(), asyncio.Event()
    replace_step = stores.products._replace

    async def held(before: Product, after: Product) -> bool:
        if not read.is_set():
            read.set()
            await released.wait()
        return await replace_step(before, after)

    stores.products._replace = held  # type: ignore[method-assign]
    slow = asyncio.create_task(stores.products.change("p", lambda stored: changed(stored, Product(brand="B"), {"brand"}, "", NOW)))
    await read.wait()
    await stores.products.change("p", lambda stored: changed(stored, Product(title="Radio"), {"title"}, "", NOW))
    released.set()

    after = await slow

    assert (after.title, after.brand, after.version) == ("Radio", "B", 3)


async def test_changed_variants_move_the_claims_on_skus(stores: Stores) -> None:
    await stores.products.create(a_product("p", "a", "b"), None, title_of)

    await stores.products.change("p", lambda stored: replace(stored, variants=(Variant("b"), Variant("c")), version=2))

    assert await stores.skus() == {"b": "p", "c": "p"}


async def test_a_change_to_a_taken_sku_is_refused_and_changes_nothing(stores: Stores) -> None:
    await stores.products.put([a_product("p", "a"), a_product("q", "b")])

    with pytest.raises(ProductExists) as refused:
        await stores.products.change("p", lambda stored: replace(stored, variants=(Variant("b"),), version=2))

    assert refused.value.metadata == {"product_id": "p", "sku": "b"}
    assert (await stores.skus(), (await stores.products.product("p")).version) == ({"a": "p", "b": "q"}, 1)


async def test_a_change_of_what_is_not_there_is_not_found(stores: Stores) -> None:
    with pytest.raises(ProductNotFound):
        await stores.products.change("nope", lambda stored: stored)


async def test_an_import_creates_and_replaces(stores: Stores) -> None:
    await stores.products.put([a_product("p", "a")])

    admission = await stores.products.put([a_product("p", "b", title="Radio"), a_product("q", "a")])

    assert (admission.updated_count, admission.refused) == (1, {})
    stored = await stores.products.product("p")
    assert (stored.title, stored.version) == ("Radio", 2)
    assert await stores.skus() == {"b": "p", "a": "q"}


async def test_an_import_again_changes_nothing(stores: Stores) -> None:
    attributes = {"$set": {"b": [1.5, None, True], "a": {}}, "a": 1.0}
    batch = [replace(a_product("p", "a", "b"), attributes=attributes, image_urls=("https://img/1",)), a_product("q")]
    await stores.products.put(batch)

    admission = await stores.products.put([replace(product, updated_at=NOW + timedelta(days=1)) for product in batch])

    assert admission.updated_count == 2
    assert await stores.products.lookup.products(["p", "q"], [], READABLE) == batch
    assert await stores.skus() == {"a": "p", "b": "p", "q": "q"}


async def test_an_import_of_one_difference_is_a_change(stores: Stores) -> None:
    await stores.products.put([replace(a_product("p"), attributes={"is_new": 1.0}), a_product("q")])

    await stores.products.put([replace(a_product("p"), attributes={"is_new": True}), a_product("q")])

    after = await stores.products.product("p")
    assert (after.attributes["is_new"] is True, after.version) == (True, 2)
    assert (await stores.products.product("q")).version == 1


async def test_imports_of_the_same_products_at_once_all_succeed(stores: Stores) -> None:
    batch = [a_product(f"p{i}") for i in range(50)]

    admissions = await asyncio.gather(*(stores.products.put(batch) for _ in range(3)))

    assert sum(admission.updated_count for admission in admissions) == 100
    assert len(await stores.skus()) == 50


async def test_a_section_lists_a_category_and_all_below_it_by_id(stores: Stores) -> None:
    await stores.products.put(
        [
            a_product("b", path=("Toys", "Screens")),
            a_product("a", path=("Toys",)),
            a_product("B", path=("Toys",)),
            a_product("c", path=("Toys too",)),
            a_product("d", path=("Toys",), state=State.DRAFT),
        ]
    )

    assert await stores.ids(Section([State.ACTIVE], "toys")) == ["B", "a", "b"]
    assert await stores.ids(Section(list(State), "toys")) == ["B", "a", "b", "d"]
    assert await stores.ids(Section([State.ACTIVE], "toys", after="a")) == ["b"]
    assert await stores.ids(Section([State.ACTIVE], "toys", skip=1)) == ["a", "b"]
    assert await stores.ids(Section([State.ACTIVE])) == ["B", "a", "b", "c"]


async def test_every_read_follows_an_index_in_its_order(stores: Stores) -> None:
    await stores.products.put([a_product(f"p{place}", path=("Toys", "Screens")) for place in range(20)])
    await stores.database.command("profile", 2)

    for section in (
        Section([State.ACTIVE], "toys"),
        Section(list(State), "toys", after="p1"),
        Section([State.ACTIVE]),
        Section(list(State)),
    ):
        await stores.ids(section)
    await stores.products.lookup.products(["p1"], ["p2"], {"title"})
    await stores.categories.categories("toys", "", 10)
    await stores.categories.categories(None, "", 10)

    await stores.database.command("profile", 0)
    reads = await stores.database["system.profile"].find({"op": "query"}).to_list()
    assert len(reads) == 7
    assert [read["planSummary"] for read in reads if "COLLSCAN" in read["planSummary"] or read.get("hasSortStage")] == []
