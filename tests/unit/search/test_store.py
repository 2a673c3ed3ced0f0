"""What search knows, told in any order."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from services.kit.database import Database
from services.search.model import NoPreviousIndex
from services.search.store import SearchStore
from tests.unit.search.telling import price, product, stock


async def shown(store: SearchStore, after: int = 0) -> dict[str, Any]:
    """Title, price and stock of what was changed after a position; None for what isn't on sale."""
    changes = await store.changed(after, 100)
    assert [change.position for change in changes] == sorted({change.position for change in changes})
    return {
        change.product_id: change.document
        and (change.document.summary.title, change.document.summary.price, change.document.summary.in_stock)
        for change in changes
    }


async def test_price_and_stock_may_come_before_their_product_and_after(store: SearchStore) -> None:
    await store.put_prices([price("tv", 100)])
    await store.put_products([product("tv"), product("lamp")])
    await store.put_stock([stock("tv"), stock("lamp")])
    await store.put_prices([price("lamp", 50)])

    assert await shown(store) == {"tv": ("The tv", 100, True), "lamp": ("The lamp", 50, True)}


async def test_what_is_older_than_what_is_known_changes_nothing(store: SearchStore) -> None:
    await store.put_products([product("tv", 2, title="New")])
    await store.put_prices([price("tv", 200, version=2)])
    await store.put_stock([stock("tv", 2)])
    _, last = await store.state()

    await store.put_products([product("tv", 1, title="Old")])
    await store.put_prices([price("tv", 100, version=1)])
    await store.put_stock([stock("tv", 1, is_in_stock=False)])

    assert await shown(store) == {"tv": ("New", 200, True)}
    assert await store.state() == (1, last)


async def test_whatever_changes_gives_a_product_a_later_position(store: SearchStore) -> None:
    await store.put_products([product("tv"), product("lamp")])
    for told in (
        store.put_prices([price("tv", 1)]),
        store.put_stock([stock("tv")]),
        store.put_products([product("tv", 2)]),
        store.put_popularity({"tv": 5}),
    ):
        _, before = await store.state()
        await told
        assert list(await shown(store, before)) == ["tv"]


async def test_offers_of_skus_that_nobody_knows_move_nothing(store: SearchStore) -> None:
    await store.put_products([product("tv")])
    before = await store.state()

    await store.put_prices([price("nothing", 1)])

    assert await store.state() == before


async def test_the_first_sku_s_price_counts_and_any_sku_s_stock(store: SearchStore) -> None:
    await store.put_products([product("shirt", skus=["s", "m"])])
    await store.put_prices([price("s", 10), price("m", 20)])
    await store.put_stock([stock("s", is_in_stock=False), stock("m")])

    assert await shown(store) == {"shirt": ("The shirt", 10, True)}


async def test_a_product_off_sale_is_still_told_of(store: SearchStore) -> None:
    await store.put_products([product("tv"), product("lamp")])
    await store.put_products([product("tv", 2, is_shown=False)])
    await store.take_out(["lamp", "unknown"])
    await store.put_products([product("lamp", 3)])

    assert await shown(store) == {"tv": None, "lamp": None, "unknown": None}
    assert await store.shown() == (0, (await store.state())[1])


async def test_popularity_is_that_of_the_last_reading(store: SearchStore) -> None:
    await store.put_products([product("tv"), product("lamp")])
    await store.put_popularity({"tv": 5, "unknown": 9})
    await store.put_popularity({"lamp": 7})

    popularity = {change.product_id: change.document and change.document.popularity for change in await store.changed(0, 9)}

    assert popularity == {"tv": 0, "lamp": 7}


async def test_what_was_read_once_is_not_moved_by_the_same_reading(store: SearchStore) -> None:
    await store.put_products([product("tv")])
    await store.put_popularity({"tv": 5})
    before = await store.state()

    await store.put_popularity({"tv": 5})

    assert await store.state() == before


async def test_a_price_that_comes_while_its_product_is_told_is_missed_by_nobody(store: SearchStore, database: Database) -> None:
    """The product is not to be seen yet when the price comes: so the price waits, and gives it a later position."""
    async with database.transaction() as tx:
        await tx.execute("SELECT last FROM positions FOR UPDATE")
        late = asyncio.create_task(store.put_prices([price("tv", 5)]))
        await _waits_for_a_lock(database)
        await tx.execute(
            "INSERT INTO products SELECT 'tv', 1, true, 'TV', '', '', '{}', 'toys', '', 0, ARRAY['tv'], NULL, 0, 1 FROM positions"
        )
        await tx.execute("UPDATE positions SET last = 1")
    read_at_once = await shown(store)
    await late

    assert read_at_once["tv"][1] in (None, 5)
    assert await shown(store, 1) == {"tv": ("TV", 5, False)}


async def _waits_for_a_lock(database: Database) -> None:
    while True:
        async with database.connection() as connection:
            rows = await (await connection.execute("SELECT 1 FROM pg_locks WHERE NOT granted")).fetchall()
        if rows:
            return
        await asyncio.sleep(0.01)


async def test_changes_come_in_parts(store: SearchStore) -> None:
    await store.put_products([product(f"p{number}") for number in range(5)])

    first = await store.changed(0, 3)
    rest = await store.changed(first[-1].position, 3)

    assert len({change.product_id for change in (*first, *rest)}) == 5


async def test_a_new_copy_is_wanted_and_the_one_before_again(store: SearchStore) -> None:
    with pytest.raises(NoPreviousIndex):
        await store.want_previous_copy()

    assert [await store.want_new_copy(), await store.want_new_copy()] == [2, 3]
    assert [await store.want_previous_copy(), await store.want_previous_copy()] == [2, 3]
    assert await store.want_new_copy() == 4


async def test_the_roots_of_what_is_on_sale(store: SearchStore) -> None:
    await store.put_products([product("tv"), product("milk", category_id="grocery"), product("old", category_id="attic", is_shown=False)])

    assert await store.roots() == ["grocery", "toys"]
