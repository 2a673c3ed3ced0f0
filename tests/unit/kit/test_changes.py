"""What MongoDB says of changes, on a real one."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pymongo.asynchronous.collection import AsyncCollection

from services.kit.changes import Change, Kind, StreamEnded, Tail, followed, place_now
from services.kit.mongo import open_mongo

_numbers = itertools.count(1)


@pytest.fixture
async def shelf(mongo_url: str) -> AsyncIterator[AsyncCollection[dict[str, Any]]]:
    client = open_mongo(mongo_url)
    shelf = client["kit_changes"][f"shelf_{next(_numbers)}"]
    await shelf.insert_one({"_id": "tv", "price": {"usd": 1}, "tags": ["a", "b", "c"], "old": True})
    yield shelf
    await client.close()


async def only_change(shelf: AsyncCollection[dict[str, Any]], update: Any) -> Change:
    place = await place_now(shelf)
    await shelf.update_one({"_id": "tv"}, update)
    async with followed(shelf, place) as tail:
        change = await tail.next(wait=True)
        assert change
        assert await tail.next(wait=False) is None
    return change


@pytest.mark.parametrize(
    ("update", "fields"),
    [
        ({"$set": {"price.usd": 2, "title": "TV"}}, {"price", "title"}),
        ({"$unset": {"old": ""}}, {"old"}),
        ({"$set": {"tags.1": "x"}}, {"tags"}),
        ([{"$set": {"tags": {"$slice": ["$tags", 1]}}}], {"tags"}),
    ],
)
async def test_an_update_names_the_fields_that_it_touched(shelf: AsyncCollection[dict[str, Any]], update: Any, fields: set[str]):
    change = await only_change(shelf, update)

    assert (change.kind, change.id, change.fields) == (Kind.CHANGED, "tv", fields)
    assert change.document == await shelf.find_one({"_id": "tv"})


async def test_a_place_is_after_what_was_read(shelf: AsyncCollection[dict[str, Any]]):
    place = await place_now(shelf)
    await shelf.insert_many([{"_id": "pen"}, {"_id": "cup"}])
    async with followed(shelf, place) as tail:
        first = await tail.next(wait=True)
        place = tail.place
    async with followed(shelf, place) as tail:
        second = await tail.next(wait=True)

    assert [change and change.id for change in (first, second)] == ["pen", "cup"]


async def test_a_replaced_document_touches_no_field_by_name(shelf: AsyncCollection[dict[str, Any]]):
    place = await place_now(shelf)
    await shelf.replace_one({"_id": "tv"}, {"title": "TV"})
    async with followed(shelf, place) as tail:
        change = await tail.next(wait=True)

    assert change
    assert (change.kind, change.document, change.fields) == (Kind.REPLACED, {"_id": "tv", "title": "TV"}, frozenset())


async def test_a_dropped_collection_ends_its_stream(shelf: AsyncCollection[dict[str, Any]]):
    place = await place_now(shelf)
    await shelf.drop()
    async with followed(shelf, place) as tail:
        with pytest.raises(StreamEnded):
            await read_on(tail)


async def read_on(tail: Tail) -> None:
    while True:
        await tail.next(wait=True)
