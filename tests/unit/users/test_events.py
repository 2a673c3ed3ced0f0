"""What is told of users: that something changed, never what it says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bazaar.users.v1 import events_pb2
from services.kit.database import Database
from services.users.addresses import AddressStore
from services.users.model import AddressNotFound, EmailTaken, EtagMismatch, updated
from services.users.store import NewUser, UserStore
from tests.outbox import told
from tests.unit.users.sample import error_of, kept, kept_user, somebody
from tests.unit.users.test_addresses import HOME, add


async def messages(database: Database, user_id: str) -> list[tuple[int, Any]]:
    """Version and content of what is told of a user."""
    parsed = [(event, events_pb2.UserEvent.FromString(event.payload)) for event in await told(database) if event.key == user_id]
    return [(event.aggregate_version, getattr(message, message.WhichOneof("event") or "")) for event, message in parsed]


def addresses(user_id: str, *address_ids: str) -> events_pb2.AddressesChanged:
    return events_pb2.AddressesChanged(user_id=user_id, address_ids=address_ids)


async def test_a_new_user_is_told_by_id_alone(database: Database):
    user = await kept_user(database)

    [event] = [event for event in await told(database) if event.key == user.user_id]
    assert (event.topic, event.type, event.subject) == ("users", "bazaar.users.v1.UserRegistered", user.user_id)
    assert await messages(database, user.user_id) == [(1, events_pb2.UserRegistered(user_id=user.user_id))]


async def test_of_a_refused_batch_nobody_is_told(database: Database):
    taken, new = await kept_user(database), somebody()
    assert isinstance(await error_of(kept(database, new, somebody(taken.email))), EmailTaken)

    assert await messages(database, new.user_id) == []


async def test_a_user_who_is_there_already_is_not_told_again(database: Database):
    first, again = somebody(), somebody()
    await UserStore(database).create_if_missing(NewUser(first, "hash"))
    await UserStore(database).create_if_missing(NewUser(replace(again, email=first.email), "hash"))

    assert [len(await messages(database, user.user_id)) for user in (first, again)] == [1, 0]


async def test_a_changed_name_is_told_without_the_name(database: Database):
    user = await kept_user(database)
    await UserStore(database).update(user.user_id, lambda of: updated(of, {"first_name": "Grace"}, {"first_name"}, ""))

    assert (await messages(database, user.user_id))[1:] == [(2, events_pb2.UserChanged(user_id=user.user_id))]


async def test_a_change_of_nothing_and_a_refused_one_are_not_told(database: Database):
    user = await kept_user(database)
    await UserStore(database).update(user.user_id, lambda of: of)
    refused = UserStore(database).update(user.user_id, lambda of: updated(of, {"first_name": "Grace"}, {"first_name"}, "7"))
    assert isinstance(await error_of(refused), EtagMismatch)

    assert [version for version, _ in await messages(database, user.user_id)] == [1]


async def test_a_new_default_address_is_told_with_the_one_before(database: Database):
    user = await kept_user(database)
    first, second = await add(database, user), await add(database, user, is_default=True, after=1)

    assert (await messages(database, user.user_id))[1:] == [
        (2, addresses(user.user_id, first)),
        (3, addresses(user.user_id, second, first)),
    ]


async def test_a_replaced_address_is_told(database: Database):
    user = await kept_user(database)
    address_id = await add(database, user)
    await AddressStore(database).replace(user.user_id, replace(HOME, address_id=address_id, city="Mysuru"))

    assert (await messages(database, user.user_id))[2:] == [(3, addresses(user.user_id, address_id))]


async def test_the_same_address_again_is_not_told(database: Database):
    user = await kept_user(database)
    address_id = await add(database, user)
    await AddressStore(database).replace(user.user_id, replace(HOME, address_id=address_id))

    assert [version for version, _ in await messages(database, user.user_id)] == [1, 2]


async def test_a_removed_address_is_told_with_the_one_that_is_the_default_now(database: Database):
    user = await kept_user(database)
    first, second = await add(database, user), await add(database, user, after=1)
    await AddressStore(database).delete(user.user_id, first)

    assert (await messages(database, user.user_id))[3:] == [(4, addresses(user.user_id, first, second))]


async def test_of_an_address_that_is_not_there_nobody_is_told(database: Database):
    user, stranger = await kept_user(database), await kept_user(database)
    address_id = await add(database, user)
    assert isinstance(await error_of(AddressStore(database).delete(stranger.user_id, address_id)), AddressNotFound)

    assert [version for version, _ in await messages(database, stranger.user_id)] == [1]


async def test_changes_of_addresses_leave_the_profiles_etag(database: Database):
    user = await kept_user(database)
    await add(database, user)

    assert (await UserStore(database).get(user.user_id)).etag == user.etag
