"""Users for tests of the stores, kept in their database."""

from datetime import UTC, datetime

import pytest

from services.kit.database import Database
from services.kit.errors import DomainError
from services.kit.idempotency import Once
from services.kit.ids import uuid7
from services.users.model import User
from services.users.store import NewUser, UserStore

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LOCK_USER = "SELECT 1 FROM users WHERE user_id = %s FOR UPDATE"


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
