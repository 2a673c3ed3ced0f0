"""Sessions on a real PostgreSQL: a token is good once, also when two come at once."""

from datetime import datetime, timedelta

from services.kit.database import Database
from services.kit.ids import uuid7
from services.users.access import Refresh, SessionNotFound, judged, opened
from services.users.sessions import SessionStore
from tests.unit.rivals import meet
from tests.unit.users.sample import NOW, error_of, kept_user

LOCK_SESSION = "SELECT 1 FROM sessions WHERE session_id = %s FOR UPDATE"


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
