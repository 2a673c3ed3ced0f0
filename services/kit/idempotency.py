"""Single-transaction idempotency: the answer to a keyed request is kept by the transaction that does its work.

A servicer builds a Once, the store carries it through its transaction:

    async def add_item(self, ..., *, once: Once[Cart]) -> bytes:
        async with self._database.transaction() as tx:
            if (answered := await once.answered(tx)) is not None:
                return answered
            ...
            return once.answer(tx, cart)

A failed attempt rolls its key back too, so that a retry finishes the work.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import timedelta
from typing import Generic, TypeVar

from services.kit.database import Connection, Database
from services.kit.errors import Aborted, InvalidArgument
from services.kit.values import value

Outcome = TypeVar("Outcome")

KEPT = timedelta(hours=24)
_DELETED_AT_ONCE = 5000

_LOCK = "SELECT pg_try_advisory_xact_lock(%s) AS is_ours"
_LOOK_UP = "SELECT fingerprint, response FROM idempotency_keys WHERE principal = %s AND method = %s AND key = %s"
"""After the lock, not with it: a statement of its own sees the answer of whoever had the lock before."""
_KEEP = "INSERT INTO idempotency_keys (principal, method, key, fingerprint, response) VALUES (%s, %s, %s, %b, %b)"
_DELETE_OLD = """
DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY(SELECT ctid FROM idempotency_keys WHERE created_at < now() - %s LIMIT %s))
"""


class RequestInProgress(Aborted):
    """Another request of the same key is being worked on."""

    reason = "REQUEST_IN_PROGRESS"


class RequestIdReused(InvalidArgument):
    """The key was used for a request with another content."""

    reason = "REQUEST_ID_REUSED"


@value
class RequestKey:
    """What makes two requests one."""

    principal: str
    """`user:<id>` or `service:<id>`."""
    method: str
    key: str
    """The caller's request_id."""
    fingerprint: bytes
    """SHA-256 of the request, serialised deterministically without its request_id."""

    @property
    def lock(self) -> int:
        """The key of its advisory lock, 64 bits."""
        digest = hashlib.sha256(f"{self.principal}\0{self.method}\0{self.key}".encode()).digest()
        return int.from_bytes(digest[:8], "big", signed=True)


class Once(Generic[Outcome]):
    """Gives a request one answer, however often it arrives.

    Args:
        request_key: None when the caller gave no key; then this only turns outcomes into responses.
        respond: the serialised response for an outcome.
    """

    def __init__(self, request_key: RequestKey | None, respond: Callable[[Outcome], bytes]) -> None:
        self._request_key = request_key
        self._respond = respond

    async def answered(self, tx: Connection) -> bytes | None:
        """The answer given before, or None, and then this transaction holds the key.

        Raises:
            RequestInProgress: a rival holds it.
            RequestIdReused: the key was answered for another request.
        """
        wanted = self._request_key
        if wanted is None:
            return None
        locked, found = await tx.execute_all((_LOCK, [wanted.lock]), (_LOOK_UP, [wanted.principal, wanted.method, wanted.key]))
        if row := await found.fetchone():
            if row["fingerprint"] != wanted.fingerprint:
                raise RequestIdReused("this request id was used for a request with another content")
            return row["response"]
        if locked.tuples() != [(True,)]:
            raise RequestInProgress("a request of the same id is being worked on", retry_after=timedelta(milliseconds=100))
        return None

    def answer(self, tx: Connection, outcome: Outcome) -> bytes:
        """Returns the response to an outcome; the transaction, which holds the key, keeps it as it commits."""
        response = self._respond(outcome)
        if wanted := self._request_key:
            tx.defer(_KEEP, [wanted.principal, wanted.method, wanted.key, wanted.fingerprint, response])
        return response


async def forget_old(database: Database) -> int:
    """Deletes answers older than 24 hours, some thousands a statement; returns how many."""
    deleted = 0
    async with database.connection() as connection:
        while True:
            count = (await connection.execute(_DELETE_OLD, [KEPT, _DELETED_AT_ONCE])).rowcount
            deleted += count
            if count < _DELETED_AT_ONCE:
                return deleted
