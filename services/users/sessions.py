"""Sessions in PostgreSQL: one a login, with the hash of the refresh token that is good now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from services.kit.database import Database
from services.users.access import ACCESS_TOKEN_LIFE, CLOCK_SKEW, REFRESH_TOKEN_LIFE, Refresh, Session, SessionNotFound

MOST_LISTED = 100
_DELETED_AT_ONCE = 5000

_SESSION = "session_id, user_id, token_hash, previous_hash, sealed_token, user_agent, created_at, refreshed_at, expires_at, revoked_at"
_INSERT = """
INSERT INTO sessions (session_id, user_id, token_hash, user_agent, created_at, refreshed_at, expires_at)
VALUES (%s, %s, %b, %s, %s, %s, %s)
"""
_LOCK_SESSION = f"""
SELECT {_SESSION}, roles FROM sessions JOIN (SELECT user_id, roles FROM users) AS owners USING (user_id) WHERE session_id = %s
FOR NO KEY UPDATE OF sessions
"""
_ROTATE = """
UPDATE sessions SET previous_hash = token_hash, token_hash = %b, sealed_token = %b, refreshed_at = %s, expires_at = %s WHERE session_id = %s
"""
_REVOKE = "UPDATE sessions SET revoked_at = %s WHERE session_id = %s AND revoked_at IS NULL"
_REVOKE_OWN = """
UPDATE sessions SET revoked_at = coalesce(revoked_at, %s) WHERE session_id = %s AND user_id = %s RETURNING 1
"""
_OPEN = f"""
SELECT {_SESSION} FROM sessions WHERE user_id = %s AND revoked_at IS NULL AND expires_at > %s ORDER BY session_id DESC LIMIT %s
"""
_REVOKED = "SELECT session_id, revoked_at FROM sessions WHERE revoked_at > %s ORDER BY revoked_at"
_DELETE_OLD = """
DELETE FROM sessions WHERE ctid = ANY (ARRAY(SELECT ctid FROM sessions WHERE refreshed_at < %s LIMIT %s))
"""

Judge = Callable[[Session], Refresh]


class SessionStore:
    """Keeps sessions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open(self, session: Session) -> None:
        """Adds a session."""
        async with self._database.connection() as connection:
            values = [session.session_id, session.user_id, session.token_hash, session.user_agent]
            await connection.execute(_INSERT, [*values, session.created_at, session.refreshed_at, session.expires_at])

    async def refresh(
        self, session_id: str, judge: Judge, *, token_hash: bytes, sealed_token: bytes, now: datetime
    ) -> tuple[Refresh, Session, frozenset[str]] | None:
        """Does what `judge` says with a session under its lock; returns the verdict, the session as it was found, and its user's roles.

        None when there is no such session. A REVOKE is committed, not raised, so that it lasts.

        Args:
            token_hash: of the token that comes next if the verdict is ROTATE.
            sealed_token: that token, sealed with the present one.
        """
        async with self._database.transaction() as tx:
            row = await (await tx.execute(_LOCK_SESSION, [session_id])).fetchone()
            if row is None:
                return None
            roles = frozenset(row.pop("roles"))
            session = Session(**row)
            verdict = judge(session)
            if verdict is Refresh.ROTATE:
                await tx.execute(_ROTATE, [token_hash, sealed_token, now, now + REFRESH_TOKEN_LIFE, session_id])
            elif verdict is Refresh.REVOKE:
                await tx.execute(_REVOKE, [now, session_id])
            return verdict, session, roles

    async def revoke(self, user_id: str, session_id: str, now: datetime) -> None:
        """Ends a session of a user; one that has ended already stays as it is.

        Raises:
            SessionNotFound: the user has no such session.
        """
        async with self._database.connection() as connection:
            if await (await connection.execute(_REVOKE_OWN, [now, session_id, user_id])).fetchone() is None:
                raise SessionNotFound(session_id)

    async def open_of(self, user_id: str, now: datetime) -> list[Session]:
        """A user's open sessions, the 100 newest, newest first."""
        async with self._database.connection() as connection:
            return [Session(**row) for row in await (await connection.execute(_OPEN, [user_id, now, MOST_LISTED])).fetchall()]

    async def revoked(self, now: datetime) -> Sequence[tuple[str, datetime]]:
        """Sessions whose access tokens may still live, each with the time of its revocation."""
        async with self._database.connection() as connection:
            cursor = await connection.execute(_REVOKED, [now - ACCESS_TOKEN_LIFE - CLOCK_SKEW])
            return [(row["session_id"], row["revoked_at"]) for row in await cursor.fetchall()]

    async def forget_old(self, now: datetime) -> int:
        """Deletes sessions whose last token has expired, some thousands a statement; returns how many."""
        deleted = 0
        async with self._database.connection() as connection:
            while True:
                count = (await connection.execute(_DELETE_OLD, [now - REFRESH_TOKEN_LIFE, _DELETED_AT_ONCE])).rowcount
                deleted += count
                if count < _DELETED_AT_ONCE:
                    return deleted
