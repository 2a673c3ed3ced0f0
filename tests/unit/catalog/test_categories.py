"""Categories as products make them, and a database that can't be reached."""

from __future__ import annotations

import pytest
from pymongo.errors import AutoReconnect, NetworkTimeout, ServerSelectionTimeoutError

from services.catalog.categories import reachable
from services.catalog.model import Category, CategoryNotFound
from services.kit.errors import Unavailable
from services.kit.mongo import open_mongo
from tests.unit.catalog.sample import Stores, a_product


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


@pytest.mark.parametrize(
    "error", [AutoReconnect("connection closed"), NetworkTimeout("timed out"), ServerSelectionTimeoutError("no primary")]
)
def test_a_connection_that_breaks_is_an_absence_and_no_fault(error: Exception) -> None:
    with pytest.raises(Unavailable), reachable():
        raise error
