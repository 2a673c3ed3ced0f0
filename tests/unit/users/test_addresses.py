"""Addresses on a real PostgreSQL: one default, whoever meets whom."""

import asyncio
from dataclasses import replace
from datetime import timedelta

from services.kit.database import Database
from services.kit.ids import uuid7
from services.users.addresses import AddressStore
from services.users.model import Address, AddressNotFound, TooManyAddresses, User, UserNotFound
from tests.unit.reading import rows_read
from tests.unit.rivals import meet
from tests.unit.users.sample import LOCK_USER, NOW, error_of, kept_user, quietly, somebody

HOME = Address("", "1 Main St", "", "Bengaluru", "KA", "560001", "IN", "HOME", is_default=False)


async def add(database: Database, user: User, *, is_default: bool = False, after: int = 0) -> str:
    address_id = uuid7()
    address = replace(HOME, address_id=address_id, is_default=is_default)
    await AddressStore(database).create(user.user_id, address, NOW + timedelta(seconds=after), once=quietly())
    return address_id


async def defaults(database: Database, user: User) -> list[str]:
    return [address.address_id for address in await AddressStore(database).list(user.user_id) if address.is_default]


async def test_the_first_address_becomes_the_default(database: Database):
    user = await kept_user(database)
    first, _ = await add(database, user), await add(database, user, after=1)

    assert await defaults(database, user) == [first]


async def test_an_address_is_read_alone_however_many_there_are(database: Database):
    user = await kept_user(database)
    address_id = await add(database, user)
    async with database.connection() as connection:
        await connection.execute("DELETE FROM addresses WHERE address_id <> %s", [address_id])
        await connection.execute("VACUUM ANALYZE addresses")
    alone = Database(database.url, max_connections=1)
    await alone.open()
    await AddressStore(alone).get(user.user_id, address_id)  # planned while there was one
    for _ in range(10):
        another = await kept_user(database)
        for _ in range(10):
            await add(database, another)
    before = await rows_read(alone, "addresses")

    await AddressStore(alone).get(user.user_id, address_id)

    assert await rows_read(alone, "addresses") - before < 20
    await alone.close()


async def test_a_new_default_takes_over(database: Database):
    user = await kept_user(database)
    _, second = await add(database, user), await add(database, user, is_default=True, after=1)

    assert await defaults(database, user) == [second]


async def test_two_new_defaults_at_once_leave_one(database: Database):
    user = await kept_user(database)
    await add(database, user)

    rivals = [add(database, user, is_default=True, after=1), add(database, user, is_default=True, after=1)]
    added = await meet(database, LOCK_USER, [user.user_id], *rivals)

    found = await defaults(database, user)
    assert len(found) == 1
    assert found[0] in added
    assert len(await AddressStore(database).list(user.user_id)) == 3


async def test_two_first_addresses_at_once_leave_one_default(database: Database):
    user = await kept_user(database)

    added = await meet(database, LOCK_USER, [user.user_id], add(database, user), add(database, user))

    assert [address_id in added for address_id in await defaults(database, user)] == [True]


async def test_the_oldest_address_is_promoted_when_the_default_is_deleted(database: Database):
    user = await kept_user(database)
    first, second, third = [await add(database, user, is_default=number == 2, after=number) for number in range(3)]

    await AddressStore(database).delete(user.user_id, third)

    assert await defaults(database, user) == [first]
    assert [address.address_id for address in await AddressStore(database).list(user.user_id)] == [first, second]


async def test_the_last_address_can_be_deleted(database: Database):
    user = await kept_user(database)
    await AddressStore(database).delete(user.user_id, await add(database, user))

    assert await AddressStore(database).list(user.user_id) == []


async def test_a_replaced_address_keeps_being_the_default(database: Database):
    user = await kept_user(database)
    first, _ = await add(database, user), await add(database, user, after=1)

    after = await AddressStore(database).replace(user.user_id, replace(HOME, address_id=first, city="Mysuru"))

    assert after == replace(HOME, address_id=first, city="Mysuru", is_default=True)
    assert await AddressStore(database).get(user.user_id, first) == after


async def test_an_address_can_be_made_the_default_by_replacing_it(database: Database):
    user = await kept_user(database)
    _, second = await add(database, user), await add(database, user, after=1)

    await AddressStore(database).replace(user.user_id, replace(HOME, address_id=second, is_default=True))

    assert await defaults(database, user) == [second]


async def test_the_51st_address_is_refused_even_when_two_come_at_once(database: Database):
    user = await kept_user(database)
    for number in range(49):
        await add(database, user, after=number)

    outcomes = await meet(database, LOCK_USER, [user.user_id], add(database, user), add(database, user))

    assert [type(outcome) for outcome in outcomes].count(TooManyAddresses) == 1
    assert len(await AddressStore(database).list(user.user_id)) == 50


async def test_an_address_of_somebody_else_is_not_found_and_stays(database: Database):
    user, stranger, addresses = await kept_user(database), await kept_user(database), AddressStore(database)
    address_id = await add(database, user)
    before = await addresses.get(user.user_id, address_id)

    refused = [
        await error_of(addresses.get(stranger.user_id, address_id)),
        await error_of(addresses.replace(stranger.user_id, replace(HOME, address_id=address_id, city="Mysuru"))),
        await error_of(addresses.delete(stranger.user_id, address_id)),
    ]

    assert [type(error) for error in refused] == [AddressNotFound] * 3
    assert await addresses.get(user.user_id, address_id) == before


async def test_those_who_ask_at_once_get_each_their_own(database: Database):
    first, second = await kept_user(database), await kept_user(database)
    one, other = await add(database, first), await add(database, second)
    store = AddressStore(database)

    found = await asyncio.gather(
        store.get(second.user_id, other), store.get(first.user_id, other), store.get(first.user_id, one), return_exceptions=True
    )

    assert [getattr(each, "address_id", type(each)) for each in found] == [other, AddressNotFound, one]


async def test_nobody_has_no_address_book(database: Database):
    assert isinstance(await error_of(add(database, somebody())), UserNotFound)
