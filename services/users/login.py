"""Logging in, staying logged in, and logging out."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext, suppress
from datetime import datetime
from typing import NamedTuple

from services.kit.clock import Clock
from services.kit.ids import uuid7
from services.users.access import (
    ACCESS_TOKEN_LIFE,
    CredentialsInvalid,
    Refresh,
    RefreshTokenInvalid,
    Session,
    SessionNotFound,
    judged,
    opened,
)
from services.users.attempts import LoginAttempts
from services.users.passwords import Passwords
from services.users.sessions import SessionStore
from services.users.store import UserStore
from services.users.tokens import RefreshTokens, SigningKeys, hash_of, sealed, text_of


class Tokens(NamedTuple):
    """What a login and a refresh answer."""

    access_token: str
    refresh_token: str
    expires_in_seconds: int
    user_id: str


class Logins:
    """Opens, refreshes and ends sessions."""

    def __init__(
        self,
        users: UserStore,
        sessions: SessionStore,
        passwords: Passwords,
        keys: SigningKeys,
        clock: Clock,
        attempts: LoginAttempts | None,
    ) -> None:
        self._users = users
        self._sessions = sessions
        self._passwords = passwords
        self._keys = keys
        self._refresh_tokens = RefreshTokens(keys)
        self._clock = clock
        self._attempts = attempts

    async def open(self, email: str, password: str, user_agent: str, address: str) -> Tokens:
        """Opens a session.

        Args:
            address: where the call comes from; empty when that isn't known.

        Raises:
            CredentialsInvalid: nobody has this email, or another password; both take the same time.
            TooManyAttempts: so often has it gone wrong that this time nothing was looked up.
        """
        async with self._attempts.attempt(email, address) if self._attempts else nullcontext():
            return await self._opened(email, password, user_agent)

    async def _opened(self, email: str, password: str, user_agent: str) -> Tokens:
        found = await self._users.credentials(email)
        if not await self._passwords.is_right(password, found[1] if found else None) or found is None:
            raise CredentialsInvalid
        user, session_id, now = found[0], uuid7(), self._clock()
        token = self._refresh_tokens.new(session_id)
        await self._sessions.open(opened(session_id, user.user_id, hash_of(token), user_agent, now))
        return self._tokens(user.user_id, user.roles, session_id, token, now)

    async def refresh(self, text: str) -> Tokens:
        """Gives new tokens for a refresh token, which is used up by it.

        Raises:
            RefreshTokenInvalid: it isn't good; if it was used before, its session has ended now.
        """
        presented = self._refresh_tokens.read(text)
        if presented is None:
            raise RefreshTokenInvalid
        token, now = self._refresh_tokens.new(presented.session_id), self._clock()
        outcome = await self._sessions.refresh(
            presented.session_id,
            lambda session: judged(session, presented.hash, is_ours=presented.is_ours, now=now),
            token_hash=hash_of(token),
            sealed_token=sealed(token, presented.content),
            now=now,
        )
        if outcome is None or outcome[0] in (Refresh.REFUSE, Refresh.REVOKE):
            raise RefreshTokenInvalid
        verdict, session, roles = outcome
        if verdict is Refresh.REPEAT and session.sealed_token:
            token = sealed(session.sealed_token, presented.content)
        return self._tokens(session.user_id, roles, session.session_id, token, now)

    async def close(self, user_id: str, session_id: str) -> None:
        """Ends the session of a call; one that is gone already is no error."""
        with suppress(SessionNotFound):
            await self.revoke(user_id, session_id)

    async def revoke(self, user_id: str, session_id: str) -> None:
        """Ends a session of a user.

        Raises:
            SessionNotFound: the user has no such session.
        """
        await self._sessions.revoke(user_id, session_id, self._clock())

    async def open_sessions(self, user_id: str) -> list[Session]:
        """A user's open sessions, newest first."""
        return await self._sessions.open_of(user_id, self._clock())

    async def revocations(self) -> Sequence[tuple[str, datetime]]:
        """Sessions revoked of late, whose access tokens may still live, each with its time."""
        return await self._sessions.revoked(self._clock())

    def _tokens(self, user_id: str, roles: frozenset[str], session_id: str, refresh_token: bytes, now: datetime) -> Tokens:
        access_token = self._keys.access_token(user_id, roles, session_id, now)
        return Tokens(access_token, text_of(refresh_token), int(ACCESS_TOKEN_LIFE.total_seconds()), user_id)
