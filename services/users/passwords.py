"""Passwords as Argon2id hashes (RFC 9106), made and checked in two threads: 20 ms of work that the event loop must not do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from services.kit.errors import Overloaded

T = TypeVar("T")

THREADS = 2
MOST_WAITING = 100
"""Two or three seconds of work; who comes then is better off coming later than waiting in vain."""

_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


class Passwords:
    """Hashes and checks passwords.

    Raises, from `hash` and `is_right`:
        Overloaded: 100 are waiting.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="argon2")
        self._batches = asyncio.Semaphore(THREADS)
        self._waiting = 0
        self._hash_of_nobody: str | None = None

    async def hash(self, password: str) -> str:
        """The password's hash in its encoded form."""
        return await self._run(lambda: _hasher.hash(password))

    async def hash_all(self, passwords: Sequence[str]) -> list[str]:
        """The hashes of many, in their order; takes both threads and lets single ones in between."""

        async def one(password: str) -> str:
            async with self._batches:
                return await self.hash(password)

        return await asyncio.gather(*map(one, passwords))

    async def is_right(self, password: str, encoded: str | None) -> bool:
        """Whether this is the password behind the hash. Without a hash (nobody has that email) it takes as long, and is wrong."""
        if encoded is None:
            await self._run(lambda: _is_right(password, self._nobody()))
            return False
        return await self._run(lambda: _is_right(password, encoded))

    def _nobody(self) -> str:
        if self._hash_of_nobody is None:
            self._hash_of_nobody = _hasher.hash("")
        return self._hash_of_nobody

    async def _run(self, work: Callable[[], T]) -> T:
        if self._waiting >= MOST_WAITING:
            raise Overloaded("too many passwords are waiting to be checked", retry_after=timedelta(seconds=2), queue="passwords")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1


def _is_right(password: str, encoded: str) -> bool:
    try:
        return _hasher.verify(encoded, password)
    except (VerificationError, InvalidHashError):
        return False
