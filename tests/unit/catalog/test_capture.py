"""Changes of the catalogue become events: one each, in their order, whoever dies."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from bazaar.catalog.v1 import catalog_pb2
from services.catalog import wire
from services.catalog.model import READABLE, Product, State
from services.kit.change_stream import ChangeStream, Place
from services.kit.errors import Unavailable
from services.kit.events.port import Event
from services.kit.leader import Lease, LeaseLost
from tests.shop import eventually
from tests.unit.catalog.capturing import Capture, Mortal, Told, changed, created, removed
from tests.unit.catalog.sample import Stores, a_product, title_of


def renamed(product: Product) -> Product:
    return replace(product, title=f"{product.title}!", version=product.version + 1)


async def test_every_change_of_a_product_is_told_once_in_order(capture: Capture):
    products = capture.stores.products
    await capture.follow()
    async with capture.running():
        await products.create(a_product("tv"), None, title_of)
        await eventually(capture.told, [created("tv")])
        await products.change("tv", renamed)
        await eventually(capture.told, [created("tv"), changed("tv", 2)])
        await products.put([a_product("tv", title="Radio")])
        await eventually(capture.told, [created("tv"), changed("tv", 2), changed("tv", 3)])
        await capture.stores.database["products"].delete_one({"_id": "tv"})

        await eventually(capture.told, [created("tv"), changed("tv", 2), changed("tv", 3), removed("tv")])


async def test_a_created_product_is_told_as_it_is_shown_but_for_prices(capture: Capture):
    product = replace(a_product("tv", "tv-red", path=("Home", "TV")), attributes={"inch": 42.0}, description="Flat.", brand="Oak")
    await capture.follow()
    await capture.stores.products.create(product, None, title_of)
    async with capture.running():
        await eventually(capture.told, [created("tv")])

    [message] = await capture.messages()
    assert message.product_created.product == wire.to_proto(product, READABLE)
    assert message.product_created.product.etag == "1"


async def test_a_draft_is_told_with_its_state(capture: Capture):
    await capture.follow()
    await capture.stores.products.create(replace(a_product("tv"), state=State.DRAFT), None, title_of)
    async with capture.running():
        await eventually(capture.told, [created("tv")])

    [message] = await capture.messages()
    assert message.product_created.product.state == catalog_pb2.Product.DRAFT


async def test_a_change_that_is_read_late_is_told_with_the_version_of_what_was_read(capture: Capture):
    await capture.follow()
    await capture.stores.products.create(a_product("tv"), None, title_of)
    await capture.stores.products.change("tv", renamed)
    await capture.stores.products.change("tv", renamed)
    async with capture.running():
        await eventually(capture.told, [created("tv"), changed("tv", 3), changed("tv", 3)])

    assert [message.product_changed.product.title for message in (await capture.messages())[1:]] == ["TV!!", "TV!!"]


async def test_a_change_of_a_product_that_is_gone_by_now_is_told_by_its_removal(capture: Capture):
    await capture.follow()
    await capture.stores.products.create(a_product("tv"), None, title_of)
    await capture.stores.products.change("tv", renamed)
    await capture.stores.database["products"].delete_one({"_id": "tv"})
    async with capture.running():
        await eventually(capture.told, [created("tv"), removed("tv")])


async def test_what_no_reader_sees_is_not_told(capture: Capture):
    await capture.follow()
    await capture.stores.products.create(a_product("tv"), None, title_of)
    await capture.stores.database["products"].update_one({"_id": "tv"}, {"$set": {"shelf_mark": "x"}})
    await capture.stores.products.create(a_product("pen"), None, title_of)
    async with capture.running():
        await eventually(capture.told, [created("tv"), created("pen")])


async def test_a_document_that_is_no_product_holds_nobody_up(capture: Capture):
    await capture.follow()
    await capture.stores.database["products"].insert_one({"_id": "odd", "state": "ON_FIRE"})
    await capture.stores.products.create(a_product("tv"), None, title_of)
    async with capture.running():
        await eventually(capture.told, [created("tv")])


async def test_a_new_category_is_told_once_however_many_products_it_has(capture: Capture):
    async with capture.running("categories"):
        await eventually(lambda: capture.is_following("categories"), True)
        await capture.stores.products.put([a_product("tv", path=("Home", "TV")), a_product("tv-2", path=("Home", "TV"))])
        await capture.stores.products.put([a_product("sofa", path=("Home", "Sofas"))])

        await eventually(lambda: told_categories(capture), ["home", "home.sofas", "home.tv"])


async def test_the_next_leader_goes_on_where_the_last_one_stopped(capture: Capture):
    await capture.follow()
    await capture.stores.products.create(a_product("tv"), None, title_of)
    async with capture.running():
        await eventually(capture.told, [created("tv")])
    await capture.stores.products.create(a_product("pen"), None, title_of)
    async with capture.running():
        await eventually(capture.told, [created("tv"), created("pen")])


async def test_a_leader_that_was_succeeded_while_it_carried_appends_nothing(capture: Capture):
    await capture.follow()
    await capture.stores.products.create(a_product("tv"), None, title_of)
    slow = Slow(capture)
    frozen = asyncio.create_task(ChangeStream(capture.stores.database["products"], slow, capture.tell).run(await capture.elect()))
    await slow.is_there.wait()
    async with capture.running():
        await eventually(capture.told, [created("tv")])
    slow.goes_on.set()

    with pytest.raises(LeaseLost):
        await frozen
    assert await capture.told() == [created("tv")]


async def test_a_commit_whose_answer_is_lost_is_told_once(capture: Capture):
    await capture.follow()
    await capture.stores.products.create(a_product("tv"), None, title_of)
    task = asyncio.create_task(ChangeStream(capture.stores.database["products"], Deaf(capture), capture.tell).run(await capture.elect()))
    await eventually(capture.told, [created("tv")])
    await capture.stores.products.create(a_product("pen"), None, title_of)

    await eventually(capture.told, [created("tv"), created("pen")])
    task.cancel()


async def test_wherever_a_leader_dies_each_change_is_told_once(capture: Capture):
    await capture.follow()
    wanted: list[Told] = []
    deaths = 0
    while True:
        wanted += await live(capture.stores, f"p{deaths}")
        lease = await capture.elect()
        leader = asyncio.create_task(Mortal(capture.stream().run(lease), lease, breaths=deaths + 1).live())
        if not await dies(leader, capture, wanted):
            break
        deaths += 1
        async with capture.running():
            await eventually(capture.told, wanted)

    assert deaths > 5, "a leader waits more often than that on its way"


async def live(stores: Stores, product_id: str) -> list[Told]:
    """Lets a product come and change; returns what is told of it afterwards."""
    await stores.products.create(a_product(product_id), None, title_of)
    await stores.products.change(product_id, renamed)
    await stores.products.change(product_id, renamed)
    return [created(product_id), changed(product_id, 3), changed(product_id, 3)]


async def dies(leader: asyncio.Task[None], capture: Capture, wanted: list[Told]) -> bool:
    """Whether a leader dies before it comes to rest; when it doesn't, it is stopped."""
    for _ in range(2):
        while not leader.done() and await capture.told() != wanted:
            await asyncio.sleep(0.002)
        await asyncio.wait([leader], timeout=0.05)
    if leader.done():
        return True
    leader.cancel()
    await asyncio.wait([leader])
    return False


async def told_categories(capture: Capture) -> list[str]:
    return sorted(key for kind, key, _ in await capture.told() if kind == "CategoryCreated")


class Slow:
    """Keeps places late."""

    def __init__(self, capture: Capture) -> None:
        self._places = capture.places
        self.is_there, self.goes_on = asyncio.Event(), asyncio.Event()

    async def read(self, collection: str) -> Place | None:
        return await self._places.read(collection)

    async def keep(self, lease: Lease, collection: str, place: Place, events: Sequence[Event]) -> None:
        self.is_there.set()
        await self.goes_on.wait()
        await self._places.keep(lease, collection, place, events)


class Deaf:
    """Doesn't hear once that a place was kept."""

    def __init__(self, capture: Capture) -> None:
        self._places = capture.places
        self._hears = False

    async def read(self, collection: str) -> Place | None:
        return await self._places.read(collection)

    async def keep(self, lease: Lease, collection: str, place: Place, events: Sequence[Event]) -> None:
        await self._places.keep(lease, collection, place, events)
        if not self._hears:
            self._hears = True
            raise Unavailable("the connection was lost")
