"""Guessing passwords takes more time than anybody has: failed logins are counted, by email and by address, for all processes together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.kit.limits.attempts import Attempts, Noted, Window
from services.users.access import FAILURES_WITHIN, MOST_FAILURES, MOST_FAILURES_OF_ADDRESS, CredentialsInvalid, TooManyAttempts, place_of
from services.users.tokens import SigningKeys

_OF_EMAIL = Window(MOST_FAILURES, FAILURES_WITHIN)
_OF_PLACE = Window(MOST_FAILURES_OF_ADDRESS, FAILURES_WITHIN)


class LoginAttempts:
    """Lets so many logins fail. While Redis is away all are let through (`kit.limits.counting` counts them).

    Args:
        keys: what is counted is known by a MAC: neither emails nor addresses lie about in Redis.
    """

    def __init__(self, attempts: Attempts, keys: SigningKeys) -> None:
        self._attempts = attempts
        self._keys = keys

    @asynccontextmanager
    async def attempt(self, email: str, address: str) -> AsyncIterator[None]:
        """Around the check of a password: the attempt is noted before, and taken back unless the credentials were wrong.

        Whoever hangs up in between has used it too.

        Args:
            address: where the call comes from; empty when that isn't known.

        Raises:
            TooManyAttempts: the check is not to be made.
        """
        noted: list[Noted] = []
        for kind, value, window in (("email", email, _OF_EMAIL), ("place", place_of(address), _OF_PLACE)):
            if value:
                await self._note(noted, f"{kind}:{self._mac(value)}", window)
        try:
            yield
        except CredentialsInvalid:
            raise
        except Exception:
            await self._attempts.forget(noted)
            raise
        await self._attempts.forget(noted)

    async def _note(self, noted: list[Noted], key: str, window: Window) -> None:
        attempt = await self._attempts.note(key, window)
        if attempt.retry_after is not None:
            await self._attempts.forget(noted)
            raise TooManyAttempts(attempt.retry_after)
        noted.append(attempt)

    def _mac(self, value: str) -> str:
        return self._keys.macs("login attempts", value.encode())[0].hex()
