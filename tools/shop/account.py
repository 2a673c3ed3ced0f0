"""Somebody who can log in."""

from __future__ import annotations

import asyncio
import time

from tools.home import Home
from tools.secrets import read
from tools.shop.client import Refused, Shop, patiently

ADMIN = "admin@bazaar.local"
_EARLY = 90.0
"""Seconds before a token's end at which it is exchanged: a call may wait for a while before it is sent."""


class Account:
    """A user's credentials, and the tokens got for them: logs in on first use, and again as needed."""

    def __init__(self, shop: Shop, email: str, password: str) -> None:
        self._shop = shop
        self._email = email
        self._password = password
        self._access = self._refresh = ""
        self._until = 0.0
        self._one_at_a_time = asyncio.Lock()

    async def token(self, lasting: float = 0) -> str:
        """An access token that is good for a minute and a half at least.

        Args:
            lasting: seconds that it should last; a token lives for ten minutes at most.

        Raises:
            Refused: the credentials are wrong, or the shop does not answer.
        """
        if time.monotonic() + lasting > self._until:
            async with self._one_at_a_time:
                if time.monotonic() + lasting > self._until:
                    await self._renew()
        return self._access

    def forget(self) -> None:
        """Drops the tokens, because one was refused."""
        self._access = self._refresh = ""
        self._until = 0.0

    async def _renew(self) -> None:
        asked = time.monotonic()
        answer = await patiently(self._exchange)
        self._access, self._refresh = answer["accessToken"], answer["refreshToken"]
        self._until = asked + answer["expiresInSeconds"] - _EARLY

    async def _exchange(self) -> dict:
        if self._refresh:
            try:
                return await self._shop.post("/v1/users/refresh", {"refreshToken": self._refresh})
            except Refused as refused:
                if refused.may_pass:
                    raise
        return await self._shop.post("/v1/users/login", {"email": self._email, "password": self._password})


def administrator(shop: Shop, home: Home) -> Account:
    """The admin that the shop made at its first start."""
    return Account(shop, ADMIN, read(home.folder("secrets"), "admin_password"))
