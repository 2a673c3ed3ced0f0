"""What every index of products does: found by words, sorted, filtered, counted; copies that flip; changes in any order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.search.documents import Change, Document, Summary
from services.search.index import Facets, IndexAway, ProductIndex, open_index
from services.search.model import Filters, Query, Slice, Sort, asked_words

MILK = {"brand": "Aavin", "category": "grocery.dairy", "price": 3000, "rating": 450}
SHELF: dict[str, dict[str, Any]] = {
    "milk": {**MILK, "title": "Fresh Milk", "description": "From Ooty", "popularity": 5},
    "curd": {**MILK, "title": "Thick Curd", "description": "Made of milk", "price": 4500, "rating": 300, "popularity": 50},
    "choc": {
        "title": "Chocolate bar",
        "brand": "Milk Råw",
        "category": "grocery.sweets",
        "price": 9900,
        "in_stock": False,
        "popularity": 7,
    },
    "tv": {"title": "Television", "brand": "Sharp", "category": "toys.screens", "price": 1999900, "rating": 500},
    "gift": {"title": "Gift", "brand": "", "category": "toys.gifts", "price": None},
}


@pytest.fixture(params=["tantivy", pytest.param("opensearch", marks=pytest.mark.full)])
async def index(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ProductIndex]:
    """An index without any copy."""
    url = f"file://{tmp_path}"
    if request.param == "opensearch":
        url = request.getfixturevalue("opensearch_url")
        await forget_copies(url)
    index = open_index(url, "worker-1")
    await index.open()
    yield index
    await index.close()


async def forget_copies(url: str) -> None:
    """Leaves a node as it was before the first test."""
    async with httpx.AsyncClient(base_url=url, timeout=30) as http:
        for name in (await http.get("/bazaar-products-*")).json():
            (await http.delete(f"/{name}")).raise_for_status()


@pytest.fixture
async def shelf(index: ProductIndex) -> ProductIndex:
    """One that answers about the products above."""
    await index.put("v1-1", [change(name, position) for position, name in enumerate(SHELF, start=1)], len(SHELF))
    await index.flip("v1-1")
    return index


def change(product_id: str, position: int, **fields: Any) -> Change:
    given = {**SHELF.get(product_id, {"title": product_id, "brand": "", "category": "toys", "price": 100}), **fields}
    summary = Summary(
        product_id,
        given["title"],
        given["brand"],
        given["category"],
        "",
        given["price"],
        given.get("in_stock", True),
        given.get("rating", 0),
    )
    path = [part.title() for part in given["category"].split(".")]
    at = datetime.fromtimestamp(1_700_000_000 + position, UTC)
    return Change(product_id, position, Document(summary, given.get("description", ""), path, at, given.get("popularity", 0)))


def gone(product_id: str, position: int) -> Change:
    return Change(product_id, position, None)


async def found(index: ProductIndex, text: str = "", **fields: Any) -> list[str]:
    """The ids of what is found, in order."""
    return ids(await index.search(Query(words=asked_words(text), **fields)))


def ids(answer: Any) -> list[str]:
    return [hit.product.product_id for hit in answer.hits]


async def test_title_counts_more_than_brand_and_that_more_than_description(shelf: ProductIndex) -> None:
    assert await found(shelf, "milk") == ["milk", "choc", "curd"]


async def test_every_word_must_be_there_in_whichever_field(shelf: ProductIndex) -> None:
    assert await found(shelf, "aavin milk") == ["milk", "curd"]
    assert await found(shelf, "milk television") == []


async def test_a_category_s_name_is_found_and_case_and_accents_are_not_looked_at(shelf: ProductIndex) -> None:
    assert await found(shelf, "DAIRY") == ["curd", "milk"]
    assert await found(shelf, "raw") == ["choc"]


async def test_typos_are_found_when_asked_for_and_what_is_spelt_right_stands_first(shelf: ProductIndex) -> None:
    await shelf.put("v1-1", [change("silk", 9, title="Silk", popularity=90)], 9)

    assert await found(shelf, "televisoin") == []
    assert await found(shelf, "televisoin", is_fuzzy=True) == ["tv"]
    assert await found(shelf, "milk", is_fuzzy=True) == ["milk", "choc", "silk", "curd"]
    assert await found(shelf, "tw", is_fuzzy=True) == []


async def test_without_words_the_popular_come_first(shelf: ProductIndex) -> None:
    assert (await found(shelf))[:3] == ["curd", "choc", "milk"]


@pytest.mark.parametrize(
    ("sort", "wanted"),
    [
        (Sort.PRICE, ["milk", "curd", "choc", "tv", "gift"]),
        (Sort.PRICE_DESC, ["tv", "choc", "curd", "milk", "gift"]),
        (Sort.NEWEST, ["gift", "tv", "choc", "curd", "milk"]),
        (Sort.RATING, ["tv", "milk", "curd", "choc", "gift"]),
    ],
)
async def test_sorts_what_has_no_value_stands_last(shelf: ProductIndex, sort: Sort, wanted: list[str]) -> None:
    assert await found(shelf, sort=sort) == wanted


async def test_ties_are_decided_by_popularity_and_then_the_same_way_every_time(index: ProductIndex) -> None:
    tied = [change(f"p{number}", number, popularity=number // 10) for number in range(1, 31)]
    await index.put("v1-1", tied[:15], 15)
    await index.put("v1-1", tied[15:], 30)
    await index.flip("v1-1")
    first = await found(index, sort=Sort.PRICE, slice=Slice(30))
    await index.put("v1-2", [replace(each, position=31 - each.position) for each in reversed(tied)], 30)
    await index.flip("v1-2")

    assert await found(index, sort=Sort.PRICE, slice=Slice(30)) == first
    assert first[0] == "p30"
    assert set(first[1:11]) == {f"p{number}" for number in range(20, 30)}


@pytest.mark.parametrize(
    ("filters", "wanted"),
    [
        (Filters(category="grocery"), {"milk", "curd", "choc"}),
        (Filters(category="grocery.dairy"), {"milk", "curd"}),
        (Filters(category="groc"), set()),
        (Filters(brands=("Sharp", "Milk Råw")), {"tv", "choc"}),
        (Filters(price_min=4500), {"curd", "choc", "tv"}),
        (Filters(price_max=4500), {"milk", "curd"}),
        (Filters(price_min=4500, price_max=4500), {"curd"}),
        (Filters(rating_min=450), {"milk", "tv"}),
        (Filters(in_stock=True), {"milk", "curd", "tv", "gift"}),
        (Filters(category="grocery", in_stock=True, price_min=4000), {"curd"}),
    ],
)
async def test_filters(shelf: ProductIndex, filters: Filters, wanted: set[str]) -> None:
    assert set(await found(shelf, filters=filters)) == wanted


async def test_filters_do_not_change_what_is_relevant(shelf: ProductIndex) -> None:
    assert await found(shelf, "milk", filters=Filters(category="grocery", price_max=9900)) == ["milk", "choc", "curd"]


async def test_a_result_carries_all_that_a_page_shows(shelf: ProductIndex) -> None:
    answer = await shelf.search(Query(words=("television",)))

    assert answer.hits[0].product == Summary("tv", "Television", "Sharp", "toys.screens", "", 1999900, in_stock=True, rating=500)


async def test_facets_count_all_results_and_not_the_page(shelf: ProductIndex) -> None:
    answer = await shelf.search(Query(slice=Slice(1), has_facets=True, price_step=5000))

    assert answer.total == 5
    assert answer.facets == Facets(
        categories={"grocery": 3, "toys": 2},
        brands={"Aavin": 2, "Milk Råw": 1, "Sharp": 1},
        prices={0: 2, 5000: 1},  # the television is beyond the first hundred steps
        price_step=5000,
        ratings={4: 2, 3: 3, 2: 3, 1: 3},
        in_stock=4,
        out_of_stock=1,
    )


async def test_facets_of_a_category_are_those_directly_below_and_steps_begin_where_prices_may(shelf: ProductIndex) -> None:
    filters = Filters(category="grocery", price_min=4400)
    answer = await shelf.search(Query(filters=filters, has_facets=True, price_step=1000))

    assert answer.facets is not None
    assert answer.facets.categories == {"grocery.dairy": 1, "grocery.sweets": 1}
    assert answer.facets.prices == {4000: 1, 9000: 1}


async def test_pages_follow_each_other_by_number_and_by_position(index: ProductIndex) -> None:
    await index.put("v1-1", [change(f"p{number}", number) for number in range(1, 8)], 7)
    await index.flip("v1-1")
    whole = await found(index, sort=Sort.PRICE)
    first = await index.search(Query(sort=Sort.PRICE, slice=Slice(3)))
    by_number = await index.search(Query(sort=Sort.PRICE, slice=Slice(3, 3)))
    by_position = await index.search(Query(sort=Sort.PRICE, slice=Slice(3, 3, first.hits[-1].position)))
    last = await index.search(Query(sort=Sort.PRICE, slice=Slice(3, 6, by_position.hits[-1].position)))

    assert ids(first) + ids(by_position) + ids(last) == whole
    assert ids(by_number) == ids(by_position)
    assert [answer.has_more for answer in (first, by_position, last)] == [True, True, False]
    assert first.total == last.total == 7


async def test_what_is_new_before_a_page_does_not_move_it(index: ProductIndex) -> None:
    await index.put("v1-1", [change(f"p{number}", number, price=number) for number in range(10, 14)], 13)
    await index.flip("v1-1")
    first = await index.search(Query(sort=Sort.PRICE, slice=Slice(2)))
    await index.put("v1-1", [change("cheap", 14, price=1), change("p10", 15, price=2)], 15)

    answer = await index.search(Query(sort=Sort.PRICE, slice=Slice(2, 2, first.hits[-1].position)))

    assert ids(answer) == ["p12", "p13"]


async def test_a_page_of_words_ends_among_equals_without_losing_any(index: ProductIndex) -> None:
    await index.put("v1-1", [change(f"p{number}", number + 1, title="Soap", popularity=number) for number in range(500)], 500)
    await index.flip("v1-1")

    answer = await index.search(Query(words=("soap",), slice=Slice(3, 297)))

    assert ids(answer) == ["p202", "p201", "p200"]


async def test_a_change_replaces_and_a_removal_takes_out(shelf: ProductIndex) -> None:
    await shelf.put("v1-1", [change("tv", 6, title="Radio"), gone("milk", 7), gone("unknown", 8)], 8)

    assert await found(shelf, "television") == []
    assert await found(shelf, "radio") == ["tv"]
    assert await shelf.count("v1-1") == 4
    assert await shelf.position("v1-1") >= 6


async def test_changes_that_come_late_or_twice_change_nothing(shelf: ProductIndex) -> None:
    await shelf.put("v1-1", [change("tv", 6, title="Radio")], 6)
    await shelf.put("v1-1", [change("tv", 4, title="Television"), change("tv", 6, title="Radio")], 6)
    await shelf.put("v1-1", [gone("tv", 5)], 6)

    assert await found(shelf, "radio") == ["tv"]


async def test_a_copy_answers_from_its_flip_on_and_the_one_before_is_kept(shelf: ProductIndex) -> None:
    await shelf.put("v1-2", [change("tv", 1), change("new", 2)], 2)
    assert (await shelf.live(), await shelf.count("v1-2")) == ("v1-1", 2)
    await shelf.flip("v1-2")
    assert set(await found(shelf)) == {"tv", "new"}

    await shelf.flip("v1-1")

    assert (await shelf.live(), len(await found(shelf)), await shelf.count("v1-2")) == ("v1-1", 5, 2)


async def test_copies_from_before_the_last_are_dropped(shelf: ProductIndex) -> None:
    for copy in ("v1-2", "v1-3"):
        await shelf.put(copy, [change("tv", 1)], 1)
        await shelf.flip(copy)

    assert await shelf.position("v1-1") == 0
    assert await shelf.position("v1-2") == 1


async def test_an_index_without_a_copy_that_answers_is_away(index: ProductIndex) -> None:
    assert await index.live() is None
    assert await index.position("v1-1") == 0
    await index.put("v1-1", [change("tv", 1)], 1)

    with pytest.raises(IndexAway):
        await index.search(Query())


async def test_an_empty_copy_answers_that_there_is_nothing(index: ProductIndex) -> None:
    await index.put("v1-1", [], 0)
    await index.flip("v1-1")

    answer = await index.search(Query(words=("milk",), has_facets=True))

    assert (list(answer.hits), answer.total, answer.has_more) == ([], 0, False)
    assert answer.facets == Facets(ratings={4: 0, 3: 0, 2: 0, 1: 0})


@pytest.mark.parametrize("text", ["C++ (2nd ed.)", '"quoted', "a AND NOT b", "*", "naïve:café", "🚀", "x" * 200])
async def test_nothing_in_a_question_is_syntax(shelf: ProductIndex, text: str) -> None:
    await shelf.put("v1-1", [change("odd", 9, title=text)], 9)

    assert "odd" in await found(shelf, text)
    assert "odd" in await found(shelf, text, is_fuzzy=True)
