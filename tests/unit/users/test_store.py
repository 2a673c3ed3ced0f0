import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.kit.database import Database
from services.kit.errors import DomainError
from services.kit.idempotency import Once
from services.kit.ids import uuid7
from services.users.addresses import AddressStore
from services.users.model import (
    Address,
    AddressNotFound,
    EmailTaken,
    EtagMismatch,
    Refresh,
    SessionNotFound,
    TooManyAddresses,
    User,
    UserNotFound,
    judged,
    opened,
    updated,
)
from services.users.sessions import SessionStore
from services.users.store import NewUser, UserStore
from tests.unit.rivals import meet

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOME = Address("", "1 Main St", "", "Bengaluru", "KA", "560001", "IN", "HOME", is_default=False)
LOCK_USER = "SELECT 1 FROM users WHERE user_id = %s FOR UPDATE"
LOCK_SESSION = "SELECT 1 FROM sessions WHERE session_id = %s FOR UPDATE"


def somebody(email: str = "") -> User:
    user_id = uuid7()
    return User(user_id, email or f"{user_id}@example.com", "Ada", "Lovelace", frozenset({"customer"}), NOW)


def quietly() -> Once[object]:
    return Once(None, lambda result: b"done")


async def kept(database: Database, *users: User) -> None:
    await UserStore(database).create([NewUser(user, "hash") for user in users], once=quietly())


async def kept_user(database: Database) -> User:
    user = somebody()
    await kept(database, user)
    return user


async def error_of(work) -> DomainError:
    with pytest.raises(DomainError) as caught:
        await work
    return caught.value


# Accounts


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


# Sessions


async def open_session(database: Database, token_hash: bytes = b"first") -> str:
    user, session_id = await kept_user(database), uuid7()
    await SessionStore(database).open(opened(session_id, user.user_id, token_hash, "Firefox", NOW))
    return session_id


async def refresh(database: Database, session_id: str, presented: bytes, successor: bytes, now: datetime = NOW) -> Refresh | None:
    outcome = await SessionStore(database).refresh(
        session_id,
        lambda session: judged(session, presented, is_ours=True, now=now),
        token_hash=successor,
        sealed_token=b"sealed " + successor,
        now=now,
    )
    return outcome[0] if outcome else None


async def test_a_token_is_good_once_and_its_successor_after_it(database: Database):
    session_id = await open_session(database)

    verdicts = [
        await refresh(database, session_id, b"first", b"second"),
        await refresh(database, session_id, b"second", b"third", NOW + timedelta(minutes=10)),
    ]

    assert verdicts == [Refresh.ROTATE, Refresh.ROTATE]


async def test_two_refreshes_at_once_both_get_the_same_successor(database: Database):
    session_id = await open_session(database)
    rivals = [refresh(database, session_id, b"first", successor) for successor in (b"a", b"b")]

    verdicts = await meet(database, LOCK_SESSION, [session_id], *rivals)

    winner = (b"a", b"b")[verdicts.index(Refresh.ROTATE)]
    async with database.connection() as connection:
        row = await (await connection.execute("SELECT * FROM sessions WHERE session_id = %s", [session_id])).fetchone()
    assert row is not None
    assert set(verdicts) == {Refresh.ROTATE, Refresh.REPEAT}
    assert (row["token_hash"], row["sealed_token"], row["revoked_at"]) == (winner, b"sealed " + winner, None)


async def test_a_token_used_again_later_ends_the_session_for_its_rightful_holder_too(database: Database):
    session_id, later = await open_session(database), NOW + timedelta(seconds=11)
    await refresh(database, session_id, b"first", b"second")

    verdicts = [await refresh(database, session_id, b"first", b"x", later), await refresh(database, session_id, b"second", b"y", later)]

    assert verdicts == [Refresh.REVOKE, Refresh.REFUSE]
    assert (session_id, later) in await SessionStore(database).revoked(later)


async def test_a_refresh_lasts_30_days_from_its_own_time(database: Database):
    session_id = await open_session(database)
    await refresh(database, session_id, b"first", b"second", NOW + timedelta(days=29))

    assert await refresh(database, session_id, b"second", b"third", NOW + timedelta(days=58)) is Refresh.ROTATE


async def test_an_unknown_session_refreshes_nothing(database: Database):
    assert await refresh(database, uuid7(), b"first", b"second") is None


async def test_a_revocation_is_listed_for_11_minutes(database: Database):
    user, session_id, sessions = await kept_user(database), uuid7(), SessionStore(database)
    await sessions.open(opened(session_id, user.user_id, b"t", "", NOW))
    await sessions.revoke(user.user_id, session_id, NOW)

    def listed(after: timedelta):
        return sessions.revoked(NOW + after)

    assert (session_id, NOW) in await listed(timedelta(minutes=10, seconds=59))
    assert (session_id, NOW) not in await listed(timedelta(minutes=11))


async def test_a_second_revocation_keeps_the_time_of_the_first(database: Database):
    user, session_id, sessions = await kept_user(database), uuid7(), SessionStore(database)
    await sessions.open(opened(session_id, user.user_id, b"t", "", NOW))
    await sessions.revoke(user.user_id, session_id, NOW)

    await sessions.revoke(user.user_id, session_id, NOW + timedelta(minutes=1))

    assert (session_id, NOW) in await sessions.revoked(NOW)


async def test_a_session_of_somebody_else_cannot_be_revoked(database: Database):
    session_id, stranger, sessions = await open_session(database), await kept_user(database), SessionStore(database)

    assert isinstance(await error_of(sessions.revoke(stranger.user_id, session_id, NOW)), SessionNotFound)
    assert session_id not in dict(await sessions.revoked(NOW))


async def test_open_sessions_are_listed_newest_first_without_the_ended_ones(database: Database):
    user, sessions = await kept_user(database), SessionStore(database)
    ids = [uuid7() for _ in range(4)]
    for session_id, begun in zip(ids, (NOW, NOW, NOW - timedelta(days=30), NOW), strict=True):
        await sessions.open(opened(session_id, user.user_id, session_id.encode(), "Firefox", begun))
    await sessions.revoke(user.user_id, ids[1], NOW)

    assert [session.session_id for session in await sessions.open_of(user.user_id, NOW)] == [ids[3], ids[0]]


async def test_sessions_are_deleted_once_their_last_token_has_expired(database: Database):
    kept_id, gone_id, user, sessions = uuid7(), uuid7(), await kept_user(database), SessionStore(database)
    await sessions.open(opened(gone_id, user.user_id, b"a", "", NOW - timedelta(days=400)))
    await sessions.open(opened(kept_id, user.user_id, b"b", "", NOW - timedelta(days=370)))

    assert await sessions.forget_old(NOW - timedelta(days=365)) == 1
    assert [session.session_id for session in await sessions.open_of(user.user_id, NOW - timedelta(days=365))] == [kept_id]


# Addresses


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


async def test_nobody_has_no_address_book(database: Database):
    assert isinstance(await error_of(add(database, somebody())), UserNotFound)
