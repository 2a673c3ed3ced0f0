"""Products that one process keeps while others change them, over MongoDB's change stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import pytest
from pymongo import AsyncMongoClient
from pymongo.read_concern import ReadConcern

from services.catalog import lookup as lookups
from services.catalog.lookup import ProductLookup
from services.catalog.memory import Memory
from services.catalog.model import State
from services.kit.errors import Unavailable
from services.kit.mongo import Document, open_mongo
from tests.links import Link, Links
from tests.unit.catalog.sample import Stores, a_product
from tools.servers import free_port


@pytest.fixture
async def lookup(stores: Stores) -> AsyncIterator[ProductLookup]:
    """Another process's, of a shop with two products; it listens."""
    await stores.products.put([a_product("p", "p-1"), a_product("q", "q-1")])
    lookup = ProductLookup(stores.database["products"])
    following = asyncio.create_task(lookup.follow())
    yield lookup
    following.cancel()
    with suppress(asyncio.CancelledError):
        await following


@dataclass
class Linked:
    """A client whose way to MongoDB can be cut."""

    links: Links
    client: AsyncMongoClient[Document]


@pytest.fixture
async def linked(mongo_url: str) -> AsyncIterator[Linked]:
    address = urlsplit(mongo_url)
    assert address.port
    with Links([Link("mongo", free_port(), address.port)]) as links:
        port = links.at("mongo")
        client = open_mongo(f"mongodb://{address.username}:{address.password}@127.0.0.1:{port}/?directConnection=true&authSource=admin")
        yield Linked(links, client)
        await client.close()


async def questions(stores: Stores, lookup: ProductLookup, *skus: str) -> int:
    """How many reads of products it takes to answer."""
    await stores.database["system.profile"].drop()
    await stores.database.command("profile", 2)
    assert len(await lookup.products([], skus, {"state", "title"})) == len(skus)
    await stores.database.command("profile", 0)
    return await stores.database["system.profile"].count_documents({"op": "query", "ns": f"{stores.database.name}.products"})


async def kept(stores: Stores, lookup: ProductLookup, *skus: str) -> None:
    """Returns when it answers from memory."""
    async with asyncio.timeout(10):
        while await questions(stores, lookup, *skus):
            await asyncio.sleep(0.02)


async def listeners(stores: Stores) -> int:
    """How many change streams of the products are open."""
    admin = stores.database.client.get_database("admin", read_concern=ReadConcern("local"))
    which = {"ns": f"{stores.database.name}.products", "cursor.tailable": True}
    return len(await (await admin.aggregate([{"$currentOp": {"idleCursors": True}}, {"$match": which}])).to_list())


async def test_what_was_asked_for_is_not_asked_for_again(stores: Stores, lookup: ProductLookup) -> None:
    await kept(stores, lookup, "p-1", "q-1")

    assert await questions(stores, lookup, "q-1") == 0
    assert await questions(stores, lookup, "p-1", "q-1") == 0


async def test_who_is_known_is_told_with_those_who_are_asked_for(stores: Stores, lookup: ProductLookup) -> None:
    await kept(stores, lookup, "p-1")
    known, unknown = [asyncio.create_task(lookup.products([], [sku], {"state"})) for sku in ("p-1", "q-1")]

    _, waiting = await asyncio.wait([known, unknown], return_when=asyncio.FIRST_COMPLETED)

    assert not waiting


async def test_where_nobody_asks_nobody_listens(stores: Stores, lookup: ProductLookup, monkeypatch: pytest.MonkeyPatch) -> None:
    await kept(stores, lookup, "p-1")
    assert await listeners(stores) == 1

    monkeypatch.setattr(lookups, "_IDLE_SECONDS", 0.0)

    async with asyncio.timeout(10):
        while await listeners(stores):
            await asyncio.sleep(0.02)
    assert await questions(stores, lookup, "p-1") == 1


@pytest.mark.parametrize("is_import", [False, True])
async def test_an_answered_change_is_told_of(stores: Stores, lookup: ProductLookup, *, is_import: bool) -> None:
    await kept(stores, lookup, "p-1")

    if is_import:
        await stores.products.put([a_product("p", "p-1", state=State.ARCHIVED)])
    else:
        await stores.products.change("p", lambda before: replace(before, state=State.ARCHIVED))

    [found] = await lookup.products([], ["p-1"], {"state"})
    assert found.state is State.ARCHIVED


async def test_who_hears_nothing_asks(stores: Stores, lookup: ProductLookup, monkeypatch: pytest.MonkeyPatch) -> None:
    await kept(stores, lookup, "p-1")

    # A change stream that has stalled: nothing of what it tells arrives.
    monkeypatch.setattr(Memory, "heard", lambda *_, **__: None)
    await stores.products.change("p", lambda before: replace(before, state=State.ARCHIVED))

    [found] = await lookup.products([], ["p-1"], {"state"})
    assert found.state is State.ARCHIVED


async def test_a_new_product_is_told_of_at_once(stores: Stores, lookup: ProductLookup) -> None:
    await kept(stores, lookup, "p-1")

    await stores.products.put([a_product("r", "r-1")])

    assert [found.product_id for found in await lookup.products([], ["p-1", "r-1"], {"state"})] == ["p", "r"]


async def test_a_sku_that_moves_is_told_of_where_it_went(stores: Stores, lookup: ProductLookup) -> None:
    await kept(stores, lookup, "p-1", "q-1")

    await stores.products.put([a_product("p", "p-2"), a_product("q", "q-1", "p-1")])

    assert [found.product_id for found in await lookup.products([], ["p-1"], {"variants.sku"})] == ["q"]


async def test_all_is_asked_for_again_when_the_stream_has_ended(stores: Stores, lookup: ProductLookup) -> None:
    await kept(stores, lookup, "p-1")

    await stores.database["products"].drop()

    async with asyncio.timeout(10):
        while await lookup.products(["p"], [], {"state"}):
            await asyncio.sleep(0.02)
    await stores.database["products"].insert_one({"_id": "p", "state": "DRAFT", "variants": [{"sku": "p-1"}]})
    await kept(stores, lookup, "p-1")
    [found] = await lookup.products(["p"], [], {"state"})
    assert found.state is State.DRAFT


async def test_a_stream_that_breaks_says_so_and_what_was_kept_is_gone(stores: Stores, linked: Linked) -> None:
    await stores.products.put([a_product("p", "p-1")])
    lookup = ProductLookup(linked.client[stores.database.name]["products"])
    following = asyncio.create_task(lookup.follow())
    await kept(stores, lookup, "p-1")

    await asyncio.to_thread(linked.links.cut, "mongo")
    with pytest.raises(Unavailable):
        await asyncio.wait_for(following, 10)
    await asyncio.to_thread(linked.links.heal, "mongo")

    assert await questions(stores, lookup, "p-1") == 1
