"""Accounts on a real PostgreSQL: an email belongs to one of those who come at once."""

import asyncio
from dataclasses import replace

from services.kit.database import Database
from services.kit.ids import uuid7
from services.users.model import EmailTaken, EtagMismatch, User, UserNotFound, updated
from services.users.store import NewUser, UserStore
from tests.unit.rivals import meet
from tests.unit.users.sample import LOCK_USER, error_of, kept, kept_user, somebody


async def test_a_user_reads_back_as_written(database: Database):
    user = replace(somebody(), roles=frozenset({"seller", "customer"}))
    await kept(database, user)

    assert await UserStore(database).get(user.user_id) == user


async def test_credentials_are_found_by_email(database: Database):
    user = await kept_user(database)

    assert await UserStore(database).credentials(user.email) == (user, "hash")


async def test_nobody_has_an_unknown_email(database: Database):
    assert await UserStore(database).credentials("nobody@example.com") is None


async def test_an_unknown_user_is_not_found(database: Database):
    assert isinstance(await error_of(UserStore(database).get(uuid7())), UserNotFound)


async def test_a_batch_with_a_taken_email_creates_nobody_and_names_its_place(database: Database):
    taken, first, third = await kept_user(database), somebody(), somebody()

    error = await error_of(kept(database, first, somebody(taken.email), third))

    assert (type(error), error.metadata) == (EmailTaken, {"index": "1"})
    assert [await UserStore(database).credentials(user.email) for user in (first, third)] == [None, None]


async def test_of_two_who_register_one_email_at_once_one_gets_it(database: Database):
    one, other = somebody(), somebody()
    other = replace(other, email=one.email)

    outcomes = await asyncio.gather(kept(database, one), kept(database, other), return_exceptions=True)

    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["EmailTaken", "NoneType"]


async def test_two_batches_with_the_same_emails_in_other_orders_end_with_one_winner(database: Database):
    ours, theirs = [somebody() for _ in range(50)], [somebody() for _ in range(50)]
    theirs = [replace(other, email=one.email) for other, one in zip(theirs, reversed(ours), strict=True)]

    outcomes = await asyncio.gather(kept(database, *ours), kept(database, *theirs), return_exceptions=True)

    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["EmailTaken", "NoneType"]


async def test_two_first_admins_at_once_become_one(database: Database):
    one, other = somebody("root@example.com"), somebody("root@example.com")
    users = UserStore(database)

    await asyncio.gather(users.create_if_missing(NewUser(one, "h")), users.create_if_missing(NewUser(other, "h")))

    found = await users.credentials("root@example.com")
    assert found is not None
    assert found[0].user_id in (one.user_id, other.user_id)


async def test_of_two_updates_with_one_etag_at_once_the_second_is_refused(database: Database):
    user, users = await kept_user(database), UserStore(database)

    def rename(name: str):
        return users.update(user.user_id, lambda before: updated(before, {"first_name": name}, ["first_name"], user.etag))

    outcomes = await meet(database, LOCK_USER, [user.user_id], rename("Augusta"), rename("Byron"))

    winners = [outcome.first_name for outcome in outcomes if isinstance(outcome, User)]
    assert [type(outcome) for outcome in outcomes].count(EtagMismatch) == 1
    assert [(await users.get(user.user_id)).first_name] == winners
