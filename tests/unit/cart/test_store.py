"""Carts on a real PostgreSQL: devices that write at once are all counted."""

import asyncio
from contextlib import suppress

import pytest

from services.cart.model import Cart, CartNotFound, Item, Ordered, added, with_quantity, without
from services.cart.store import NO_CART, CartStore
from services.kit.database import Database
from services.kit.errors import DomainError
from services.kit.idempotency import Once, RequestInProgress, RequestKey
from services.kit.ids import uuid7
from tests.unit.cart.filling import FACTS, LATER, LOCK_CART, NOW, add, quantities, quietly
from tests.unit.rivals import meet, waiting


class NeverMind(Exception):
    """Rolls a transaction back."""


async def error_of(work) -> DomainError:
    with pytest.raises(DomainError) as caught:
        await work
    return caught.value


async def test_a_user_who_put_nothing_anywhere_has_an_empty_cart_and_no_row(carts: CartStore):
    user_id = uuid7()

    assert await carts.find(user_id, "") == NO_CART
    assert await carts.count(user_id, "") == 0
    assert await carts.checkout_lines(user_id, "") == Ordered("", {})
    assert await carts.list(user_id, before=None, limit=10) == []


async def test_the_first_write_makes_the_active_cart(carts: CartStore):
    user_id = uuid7()
    cart_id = await add(carts, user_id, "tv", 2)

    assert await carts.find(user_id, "") == Cart(
        cart_id, is_active=True, currency="INR", items=(Item("tv", "tv", "Tv", 2, 500),), created_at=NOW, updated_at=NOW, version=2
    )


async def test_items_keep_the_order_in_which_they_were_added(carts: CartStore):
    user_id = uuid7()
    for sku in ("tv", "pen", "mug", "tv"):
        await add(carts, user_id, sku)

    assert list((await quantities(carts, user_id)).items()) == [("tv", 2), ("pen", 1), ("mug", 1)]


async def test_two_devices_that_add_the_same_at_once_are_both_counted(database: Database, carts: CartStore):
    user_id = uuid7()
    cart_id = await add(carts, user_id, "tv", 1)

    await meet(database, LOCK_CART, [cart_id], add(carts, user_id, "tv", 2), add(carts, user_id, "tv", 3))

    assert (await quantities(carts, user_id), await carts.count(user_id, "")) == ({"tv": 6}, 6)


async def test_two_devices_that_add_different_things_at_once_both_find_them(database: Database, carts: CartStore):
    user_id = uuid7()
    cart_id = await add(carts, user_id, "tv", 1)

    await meet(database, LOCK_CART, [cart_id], add(carts, user_id, "pen", 2), add(carts, user_id, "mug", 3))

    assert (await quantities(carts, user_id), await carts.count(user_id, "")) == ({"tv": 1, "pen": 2, "mug": 3}, 6)


async def test_two_first_writes_at_once_make_one_cart(database: Database, carts: CartStore):
    user_id = uuid7()
    rivals = [add(carts, user_id, "tv", 1), add(carts, user_id, "tv", 2)]
    with suppress(NeverMind):
        async with database.transaction() as tx:
            await tx.execute("INSERT INTO active_carts (user_id, cart_id) VALUES (%s, %s)", [user_id, uuid7()])
            tasks = await waiting(database, *rivals)
            raise NeverMind

    ids = await asyncio.gather(*tasks)

    assert ids[0] == ids[1]
    assert len(await carts.list(user_id, before=None, limit=10)) == 1
    assert await quantities(carts, user_id) == {"tv": 3}


async def test_a_new_cart_becomes_the_active_one_and_the_old_one_stays(carts: CartStore):
    user_id = uuid7()
    old = await add(carts, user_id)
    new = (await carts.create(user_id, LATER, once=quietly())).decode()

    listed = await carts.list(user_id, before=None, limit=10)

    assert [(cart.cart_id, cart.is_active, cart.skus) for cart in listed] == [(new, True, []), (old, False, ["tv"])]
    assert (await carts.find(user_id, "")).cart_id == new


async def test_a_cart_that_is_not_active_can_still_be_written(carts: CartStore):
    user_id = uuid7()
    old = await add(carts, user_id)
    await carts.create(user_id, LATER, once=quietly())

    await add(carts, user_id, "pen", cart_id=old)

    assert (await quantities(carts, user_id, old), await quantities(carts, user_id)) == ({"tv": 1, "pen": 1}, {})


async def test_carts_are_listed_page_by_page(carts: CartStore):
    user_id = uuid7()
    ids = [(await carts.create(user_id, NOW, once=quietly())).decode() for _ in range(3)]

    first = await carts.list(user_id, before=None, limit=2)
    rest = await carts.list(user_id, before=first[-1].cart_id, limit=2)

    assert [cart.cart_id for cart in [*first, *rest]] == ids[::-1]


async def test_a_quantity_is_set_and_counted(carts: CartStore):
    user_id = uuid7()
    await add(carts, user_id, "tv", 5)

    await carts.change(user_id, "", lambda cart: with_quantity(cart, "tv", 2, FACTS), LATER, once=quietly())

    assert ((await carts.find(user_id, "")).items[0].quantity, await carts.count(user_id, "")) == (2, 2)


async def test_a_removed_item_is_gone_from_cart_and_count(carts: CartStore):
    user_id = uuid7()
    await add(carts, user_id, "tv", 5)
    await add(carts, user_id, "pen", 1)

    await carts.change(user_id, "", lambda cart: without(cart, "tv"), LATER, once=quietly())

    assert (await quantities(carts, user_id), await carts.count(user_id, "")) == ({"pen": 1}, 1)


async def test_a_change_that_changes_nothing_leaves_the_time_of_the_last_one(carts: CartStore):
    user_id = uuid7()
    await add(carts, user_id)

    await carts.change(user_id, "", lambda cart: without(cart, "pen"), LATER, once=quietly())

    assert (await carts.find(user_id, "")).updated_at == NOW


async def test_a_refused_change_leaves_everything_as_it_was(carts: CartStore):
    user_id = uuid7()
    await add(carts, user_id)
    before = await carts.find(user_id, "")

    await error_of(carts.change(user_id, "", lambda cart: added(cart, "nope", 1, FACTS), LATER, once=quietly()))

    assert await carts.find(user_id, "") == before


async def test_a_refused_first_write_makes_no_cart(carts: CartStore):
    user_id = uuid7()
    await error_of(carts.change(user_id, "", lambda cart: added(cart, "nope", 1, FACTS), NOW, once=quietly()))

    assert await carts.list(user_id, before=None, limit=10) == []


async def test_a_cart_of_somebody_else_is_not_found_and_stays(carts: CartStore):
    owner, stranger = uuid7(), uuid7()
    cart_id = await add(carts, owner)
    before = await carts.find(owner, cart_id)

    refused = [
        await error_of(carts.find(stranger, cart_id)),
        await error_of(carts.count(stranger, cart_id)),
        await error_of(carts.checkout_lines(stranger, cart_id)),
        await error_of(add(carts, stranger, cart_id=cart_id)),
    ]

    assert [(type(error), error.metadata) for error in refused] == [(CartNotFound, {"cart_id": cart_id})] * 4
    assert await carts.find(owner, cart_id) == before


async def test_those_who_ask_for_lines_at_once_get_each_their_own(carts: CartStore):
    first, second, nobody = uuid7(), uuid7(), uuid7()
    cart_id, other_id = await add(carts, first, "tv", 2), await add(carts, second, "pen", 3)

    lines = await asyncio.gather(
        carts.checkout_lines(second, ""),
        carts.checkout_lines(nobody, ""),
        carts.checkout_lines(first, cart_id),
        carts.checkout_lines(first, ""),
    )

    assert lines == [Ordered(other_id, {"pen": 3}), Ordered("", {}), Ordered(cart_id, {"tv": 2}), Ordered(cart_id, {"tv": 2})]


def keyed() -> Once[Cart]:
    return Once(RequestKey("user:u1", "/Add", uuid7(), b"f"), lambda cart: str(cart.item_count).encode())


async def test_a_repeated_add_counts_once_and_answers_the_same(carts: CartStore):
    user_id, once = uuid7(), keyed()

    answers = [await carts.change(user_id, "", lambda cart: added(cart, "tv", 2, FACTS), NOW, once=once) for _ in range(2)]

    assert (answers, await carts.count(user_id, "")) == ([b"2", b"2"], 2)


async def test_of_two_equal_adds_at_once_one_counts(database: Database, carts: CartStore):
    user_id, once = uuid7(), keyed()
    cart_id = await add(carts, user_id, "pen")

    def repeat():
        return carts.change(user_id, "", lambda cart: added(cart, "tv", 2, FACTS), NOW, once=once)

    async with database.transaction() as tx:
        await tx.execute(LOCK_CART, [cart_id])
        [first] = await waiting(database, repeat())
        assert isinstance(await error_of(repeat()), RequestInProgress)
    await first

    assert await quantities(carts, user_id) == {"pen": 1, "tv": 2}
