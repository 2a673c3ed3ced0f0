from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from pymongo import AsyncMongoClient
from pymongo.errors import AutoReconnect, NetworkTimeout, ServerSelectionTimeoutError

from services.catalog.categories import CategoryStore, reachable
from services.catalog.model import (
    READABLE,
    Category,
    CategoryNotFound,
    Product,
    ProductExists,
    ProductNotFound,
    State,
    Variant,
    changed,
    completed,
)
from services.catalog.store import ProductStore, Section
from services.kit.errors import Unavailable
from services.kit.idempotency import RequestIdReused, RequestKey
from services.kit.mongo import Document, open_mongo

NOW = datetime(2026, 5, 2, tzinfo=UTC)
KEY = RequestKey("user:1", "/bazaar.catalog.v1.CatalogService/CreateProduct", "k1", b"fingerprint")
_numbers = itertools.count(1)


def a_product(product_id: str, *skus: str, path: tuple[str, ...] = ("Toys",), title: str = "TV", state: State = State.ACTIVE) -> Product:
    variants = tuple(Variant(sku) for sku in skus)
    return completed(Product(title=title, category_path=path, variants=variants, state=state), product_id, NOW)


def title_of(product: Product) -> bytes:
    return product.title.encode()


@pytest.fixture(scope="session")
async def client(mongo_url: str) -> AsyncIterator[AsyncMongoClient[Document]]:
    opened = open_mongo(mongo_url)
    yield opened
    await opened.close()


class Stores:
    def __init__(self, client: AsyncMongoClient[Document], name: str) -> None:
        self.database = client[name]
        self.categories = CategoryStore(self.database)
        self.products = ProductStore(self.database, self.categories, lambda: NOW)

    async def skus(self) -> dict[str, str]:
        return {row["_id"]: row["product_id"] async for row in self.database["skus"].find()}

    async def ids(self, section: Section) -> list[str]:
        return [product.product_id async for product in self.products.section(section, {"title"})]


@pytest.fixture
async def stores(client: AsyncMongoClient[Document]) -> Stores:
    made = Stores(client, f"catalog_test_{next(_numbers)}")
    await made.products.prepare()
    await made.categories.prepare()
    return made


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


async def test_products_are_found_by_id_and_by_sku_each_once(stores: Stores) -> None:
    await stores.products.put([a_product("p", "p-1", "p-2"), a_product("q", "q-1"), a_product("r")])

    found = await stores.products.lookup.products(["p", "nope"], ["p-1", "p-2", "q-1", "nope\0"], {"title", "variants.sku"})

    assert sorted(product.product_id for product in found) == ["p", "q"]


async def test_only_the_named_fields_are_read(stores: Stores) -> None:
    await stores.products.put([a_product("p", "p-1", path=("Toys", "Screens"))])

    [found] = await stores.products.lookup.products(["p"], [], {"category_id", "variants.sku", "state"})

    assert found == Product("p", category_id="toys.screens", variants=(Variant("p-1"),), state=State.ACTIVE)


async def test_asking_for_nothing_finds_nothing(stores: Stores) -> None:
    assert await stores.products.lookup.products([], [], READABLE) == []


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


async def test_a_change_of_nothing_is_not_found(stores: Stores) -> None:
    with pytest.raises(ProductNotFound):
        await stores.products.change("nope", lambda stored: stored)


async def test_an_import_creates_and_replaces(stores: Stores) -> None:
    await stores.products.put([a_product("p", "a")])

    admission = await stores.products.put([a_product("p", "b", title="Radio"), a_product("q", "a")])

    assert (admission.updated_count, admission.refused) == (1, {})
    stored = await stores.products.product("p")
    assert (stored.title, stored.version) == ("Radio", 2)
    assert await stores.skus() == {"b": "p", "a": "q"}


async def test_an_import_again_changes_nothing_but_the_version(stores: Stores) -> None:
    batch = [a_product("p", "a"), a_product("q")]
    await stores.products.put(batch)

    admission = await stores.products.put(batch)

    assert admission.updated_count == 2
    assert await stores.products.product("p") == replace(batch[0], version=2)
    assert await stores.skus() == {"a": "p", "q": "q"}


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


async def test_products_make_their_categories_and_the_first_title_stays(stores: Stores) -> None:
    await stores.products.put([a_product("p", path=("Toys", "Screens"))])
    await stores.products.put([a_product("q", path=("TOYS", "Puzzles"))])

    assert await stores.categories.categories("", "", 10) == [Category("toys", "Toys", "", ("Toys",))]
    assert [category.category_id for category in await stores.categories.categories("toys", "", 10)] == ["toys.puzzles", "toys.screens"]
    assert [category.category_id for category in await stores.categories.categories(None, "toys", 1)] == ["toys.puzzles"]
    assert (await stores.categories.category("toys.puzzles")).path == ("TOYS", "Puzzles")


async def test_an_unknown_category_is_not_found(stores: Stores) -> None:
    with pytest.raises(CategoryNotFound) as missing:
        await stores.categories.category("nope")

    assert (missing.value.reason, missing.value.metadata) == ("CATEGORY_NOT_FOUND", {"category_id": "nope"})


async def test_a_database_that_is_away_is_unavailable(unused_tcp_port: int) -> None:
    away = open_mongo(f"mongodb://127.0.0.1:{unused_tcp_port}/?replicaSet=rs0&serverSelectionTimeoutMS=100")
    try:
        with pytest.raises(Unavailable):
            await Stores(away, "x").products.product("p")
    finally:
        await away.close()


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


@pytest.mark.parametrize(
    "error", [AutoReconnect("connection closed"), NetworkTimeout("timed out"), ServerSelectionTimeoutError("no primary")]
)
def test_a_connection_that_breaks_is_an_absence_and_no_fault(error: Exception) -> None:
    with pytest.raises(Unavailable), reachable():
        raise error
