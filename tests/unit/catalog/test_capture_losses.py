"""When the place in the change stream is lost, or a database goes away: all is told in the end, on a MongoDB whose oplog is tiny."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure

from services.catalog.documents import new_document
from services.kit import changes
from services.kit.change_stream import Place
from services.kit.database import Database
from services.kit.mongo import Document, open_mongo
from tests.shop import eventually
from tests.unit.catalog.capturing import Capture, changed, created
from tests.unit.catalog.sample import Stores, a_product, title_of
from tools.servers import Running
from tools.servers.mongo import Mongo

_numbers = itertools.count(1)
_FORGETFUL = {"--oplogSize": 1, "--syncdelay": 1}
"""One megabyte, cut after each checkpoint, of which there is one a second."""


@dataclass
class Forgetful:
    """A MongoDB that remembers little."""

    running: Running
    client: AsyncMongoClient[Document]

    async def forget(self, place: Place) -> None:
        """Writes until the oplog has passed a place."""
        noise = self.client["noise"]["noise"]
        async with asyncio.timeout(60):
            while await self.knows(place):
                await noise.insert_many([{"text": "x" * 10_000} for _ in range(100)])
                await asyncio.sleep(0.2)

    async def knows(self, place: Place) -> bool:
        try:
            async with changes.followed(self.client["noise"]["products"], place.token) as tail:
                await tail.next(wait=False)
                await asyncio.sleep(0.05)
                await tail.next(wait=False)
        except OperationFailure as error:
            return not changes.is_for_good(error)
        return True


@pytest.fixture(scope="module")
async def forgetful(short_directory: Path) -> AsyncIterator[Forgetful]:
    server = Mongo(short_directory / "forgetful", "test-password", os.urandom(16).hex(), options=_FORGETFUL)
    running = Running(server, short_directory / "forgetful.log")
    await asyncio.to_thread(running.__enter__)
    client = open_mongo(server.url)
    yield Forgetful(running, client)
    await client.close()
    running.stop()


@pytest.fixture
async def lossy(forgetful: Forgetful, capture: Capture) -> Capture:
    """The capture of a catalogue that stands there."""
    stores = Stores(forgetful.client, f"lossy_{next(_numbers)}")
    await stores.products.prepare()
    await stores.categories.prepare()
    return Capture(stores, capture.database)


async def test_what_was_there_before_the_first_leader_is_told(capture: Capture):
    await capture.stores.products.create(a_product("tv"), None, title_of)
    await capture.stores.products.create(a_product("pen"), None, title_of)
    async with capture.running():
        await eventually(capture.is_following, True)

    assert await capture.told() == [changed("pen", 1), changed("tv", 1)]


async def test_a_place_that_the_oplog_has_passed_has_everything_told_again(lossy: Capture, forgetful: Forgetful):
    await lossy.follow()
    await lossy.stores.products.create(a_product("tv"), None, title_of)
    kept = await lossy.places.read("products")
    assert kept
    await forgetful.forget(kept)
    async with lossy.running():
        await eventually(lossy.told, [changed("tv", 1)])
        await eventually(lossy.is_following, True)
        await lossy.stores.products.create(a_product("pen"), None, title_of)

        await eventually(lossy.told, [changed("tv", 1), created("pen")])


async def test_a_place_that_mongodb_never_gave_has_everything_told_again(capture: Capture):
    await capture.follow()
    await capture.stores.products.create(a_product("tv"), None, title_of)
    async with changes.followed(capture.stores.database["products"], (await capture.places.read("products")).token) as tail:
        await tail.next(wait=True)
    data = tail.place["_data"]
    elsewhere = {"_data": data[:40] + ("1" if data[40] == "0" else "0") + data[41:]}
    await capture.places.keep(await capture.elect(), "products", Place(elsewhere), [])
    async with capture.running():
        await eventually(capture.told, [changed("tv", 1)])


async def test_a_collection_that_was_dropped_is_followed_when_it_is_there_again(lossy: Capture):
    await lossy.follow()
    async with lossy.running():
        await lossy.stores.database["products"].drop()
        await lossy.stores.products.create(a_product("tv"), None, title_of)

        await eventually(lambda: names(lossy), ["tv"])


async def test_telling_everything_goes_on_behind_what_the_last_leader_told(capture: Capture):
    ids = [f"p{number:04}" for number in range(1100)]
    await capture.stores.database["products"].insert_many([new_document(a_product(product_id)) for product_id in ids])
    place = Place(await changes.place_now(capture.stores.database["products"]), found_up_to="p0549")
    await capture.places.keep(await capture.elect(), "products", place, [])
    async with capture.running():
        await eventually(capture.is_following, True)

    assert await capture.told() == [changed(product_id, 1) for product_id in ids[550:]]


async def test_what_changes_while_everything_is_told_is_told_and_the_place_moves_on(capture: Capture):
    await capture.stores.products.create(a_product("tv"), None, title_of)
    before = Place(await changes.place_now(capture.stores.database["products"]), found_up_to="")
    await capture.places.keep(await capture.elect(), "products", before, [])
    await capture.stores.products.create(a_product("a-pen"), None, title_of)
    async with capture.running():
        await eventually(lambda: in_any_order(capture), [changed("a-pen", 1), changed("tv", 1), created("a-pen")])
        await eventually(lambda: is_elsewhere(capture, before), True)


async def test_documents_of_a_megabyte_are_told_in_portions(capture: Capture):
    large = {"attributes": {"manual": "x" * 1_000_000}}
    ids = [f"p{number}" for number in range(12)]
    await capture.stores.database["products"].insert_many([{**new_document(a_product(product_id)), **large} for product_id in ids])
    async with capture.running():
        await eventually(capture.is_following, True)

    assert await capture.told() == [changed(product_id, 1) for product_id in sorted(ids)]
    assert await portions(capture) > 1


async def test_while_mongodb_is_away_nothing_is_lost(lossy: Capture, forgetful: Forgetful):
    await lossy.follow()
    async with lossy.running():
        await lossy.stores.products.create(a_product("tv"), None, title_of)
        await eventually(lossy.told, [created("tv")])
        await asyncio.to_thread(forgetful.running.stop)
        await asyncio.to_thread(forgetful.running.__enter__)
        await lossy.stores.products.create(a_product("pen"), None, title_of)

        await eventually(lossy.told, [created("tv"), created("pen")], 30)


async def test_when_postgresql_hangs_up_nothing_is_lost_or_told_twice(capture: Capture):
    await capture.follow()
    async with capture.running():
        for product_id in ("tv", "pen", "cup"):
            await capture.stores.products.create(a_product(product_id), None, title_of)
            await hang_up(capture.database)

        await eventually(lambda: names(capture), ["cup", "pen", "tv"])
    assert len(await capture.told()) == 3


async def hang_up(database: Database) -> None:
    own = Database(database.url)
    await own.open()
    async with own.connection() as connection:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    await own.close()


async def names(capture: Capture) -> list[str]:
    try:
        return sorted(key for _, key, _ in await capture.told())
    except Exception:
        return []  # hung up on too


async def in_any_order(capture: Capture) -> list[tuple[str, str, int]]:
    return sorted(await capture.told(), key=lambda told: (told[0], told[1]))


async def is_elsewhere(capture: Capture, before: Place) -> bool:
    place = await capture.places.read("products")
    return place is not None and place.found_up_to is None and place.token != before.token


async def portions(capture: Capture) -> int:
    """How many transactions appended what is told."""
    async with capture.database.connection() as connection:
        row = await (await connection.execute("SELECT count(DISTINCT xmin::text) AS count FROM outbox")).fetchone()
    assert row
    return row["count"]
