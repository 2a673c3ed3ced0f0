"""Accounts in PostgreSQL: who somebody is and how they prove it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from services.kit import outbox
from services.kit.database import Database
from services.kit.idempotency import Once
from services.kit.values import value
from services.users.events import changed, registered
from services.users.model import EmailTaken, User, UserNotFound

_COLUMNS = "user_id, email, first_name, last_name, roles, version, created_at"
_SELECT = f"SELECT {_COLUMNS} FROM users WHERE user_id = %s"
_LOCK = f"SELECT {_COLUMNS}, changes FROM users WHERE user_id = %s FOR NO KEY UPDATE"
_CREDENTIALS = f"SELECT {_COLUMNS}, password_hash FROM users WHERE email = %s"
_INSERT = """
INSERT INTO users (user_id, email, password_hash, first_name, last_name, roles, created_at)
SELECT user_id, email, password_hash, first_name, last_name, string_to_array(roles, ','), created_at
FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::timestamptz[])
    AS new (user_id, email, password_hash, first_name, last_name, roles, created_at)
ORDER BY email
ON CONFLICT (email) DO NOTHING RETURNING user_id
"""
_UPDATE = "UPDATE users SET first_name = %s, last_name = %s, version = %s, changes = %s WHERE user_id = %s"
_EXISTS = "SELECT 1 FROM users WHERE email = %s"


@value
class NewUser:
    """A user to be created, with the hash of their password."""

    user: User
    password_hash: str


class UserStore:
    """Keeps users."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, new: Sequence[NewUser], *, once: Once[Sequence[User]]) -> bytes:
        """Adds users, all or none.

        Raises:
            EmailTaken: one of the emails is registered; `index` tells which.
        """
        async with self._database.transaction() as tx:
            if (answered := await once.answered(tx)) is not None:
                return answered
            # In the order of their emails, so that two batches with the same ones can't wait for each other.
            cursor = await tx.execute(_INSERT, _columns(new))
            created = {row["user_id"] for row in await cursor.fetchall()}
            for index, one in enumerate(new):
                if one.user.user_id not in created:
                    raise EmailTaken(index=str(index))
            outbox.append(tx, [registered(one.user.user_id) for one in new])
            return once.answer(tx, [one.user for one in new])

    async def create_if_missing(self, new: NewUser) -> None:
        """Adds a user unless the email is registered; harmless when two processes do it at once."""
        async with self._database.transaction() as tx:
            created = await (await tx.execute(_INSERT, _columns([new]))).fetchall()
            outbox.append(tx, [registered(row["user_id"]) for row in created])

    async def is_registered(self, email: str) -> bool:
        """Whether somebody has this email."""
        async with self._database.connection() as connection:
            return await (await connection.execute(_EXISTS, [email])).fetchone() is not None

    async def get(self, user_id: str) -> User:
        """A user.

        Raises:
            UserNotFound: there is none with this id.
        """
        async with self._database.connection() as connection:
            row = await (await connection.execute(_SELECT, [user_id])).fetchone()
        if row is None:
            raise UserNotFound(user_id)
        return user_of(row)

    async def credentials(self, email: str) -> tuple[User, str] | None:
        """A user by email, and the hash of their password."""
        async with self._database.connection() as connection:
            row = await (await connection.execute(_CREDENTIALS, [email])).fetchone()
        return (user_of(row), row["password_hash"]) if row else None

    async def update(self, user_id: str, change: Callable[[User], User]) -> User:
        """Changes a user under the row's lock; returns what became of them.

        Raises:
            UserNotFound: there is none with this id; and whatever `change` raises.
        """
        async with self._database.transaction() as tx:
            row = await (await tx.execute(_LOCK, [user_id])).fetchone()
            if row is None:
                raise UserNotFound(user_id)
            before = user_of(row)
            after = change(before)
            if after != before:
                changes = row["changes"] + 1
                tx.defer(_UPDATE, [after.first_name, after.last_name, after.version, changes, user_id])
                outbox.append(tx, [changed(user_id, changes)])
        return after


def user_of(row: dict[str, Any]) -> User:
    """The user in a row that has all columns of the table but the hash."""
    return User(
        user_id=row["user_id"],
        email=row["email"],
        first_name=row["first_name"],
        last_name=row["last_name"],
        roles=frozenset(row["roles"]),
        created_at=row["created_at"],
        version=row["version"],
    )


def _columns(new: Sequence[NewUser]) -> list[list[Any]]:
    users = [one.user for one in new]
    return [
        [user.user_id for user in users],
        [user.email for user in users],
        [one.password_hash for one in new],
        [user.first_name for user in users],
        [user.last_name for user in users],
        [",".join(sorted(user.roles)) for user in users],
        [user.created_at for user in users],
    ]
