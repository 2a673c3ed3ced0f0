"""Addresses in PostgreSQL. Writes of one user's book wait for each other at the user's row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any, LiteralString

from psycopg.abc import Params

from services.kit import outbox
from services.kit.batching import Coalescer
from services.kit.database import Connection, Database
from services.kit.idempotency import Once
from services.users.events import addresses_changed
from services.users.model import Address, AddressNotFound, UserNotFound, default_of_changed, default_of_new

_COLUMNS = "address_id, line1, line2, city, state, pincode, country, type, is_default"
_GET = f"SELECT {_COLUMNS} FROM addresses WHERE user_id = %s AND address_id = %s"
# Names the users twice: joined alone, a list is taken for as long as a table with few users, and all addresses would be read for it.
_GET_MANY = f"""
SELECT place, {_COLUMNS}
FROM unnest(%(users)s::uuid[], %(addresses)s::uuid[]) WITH ORDINALITY AS wanted (user_id, address_id, place)
JOIN addresses USING (user_id, address_id) WHERE addresses.user_id = ANY(%(users)s::uuid[])
"""
_LIST = f"SELECT {_COLUMNS} FROM addresses WHERE user_id = %s ORDER BY is_default DESC, created_at, address_id"
_LOCK_BOOK = "SELECT changes FROM users WHERE user_id = %s FOR NO KEY UPDATE"
_COUNT_CHANGE = "UPDATE users SET changes = %s WHERE user_id = %s"
_COUNT = "SELECT count(*) AS count FROM addresses WHERE user_id = %s"
_CLEAR_DEFAULT = "UPDATE addresses SET is_default = false WHERE user_id = %s AND is_default RETURNING address_id"
_INSERT = f"""
INSERT INTO addresses (user_id, created_at, {_COLUMNS})
VALUES (%(user_id)s, %(created_at)s, %(address_id)s, %(line1)s, %(line2)s, %(city)s, %(state)s, %(pincode)s, %(country)s, %(type)s,
        %(is_default)s)
"""
_UPDATE = """
UPDATE addresses SET line1 = %(line1)s, line2 = %(line2)s, city = %(city)s, state = %(state)s, pincode = %(pincode)s, country = %(country)s,
       type = %(type)s, is_default = %(is_default)s
WHERE user_id = %(user_id)s AND address_id = %(address_id)s
"""
_DELETE = "DELETE FROM addresses WHERE user_id = %s AND address_id = %s RETURNING is_default"
_PROMOTE_OLDEST = """
UPDATE addresses SET is_default = true WHERE user_id = %(user_id)s AND address_id =
    (SELECT address_id FROM addresses WHERE user_id = %(user_id)s ORDER BY created_at, address_id LIMIT 1)
RETURNING address_id
"""


class AddressStore:
    """Keeps address books: at most 50 addresses, one of them the default as soon as there is any."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._looks = Coalescer[tuple[str, str], Address | None]("addresses", self._find)

    async def get(self, user_id: str, address_id: str) -> Address:
        """An address of a user, read with those that others want just now.

        Raises:
            AddressNotFound: the user has no such address.
        """
        found = await self._looks.submit((user_id, address_id))
        if found is None:
            raise AddressNotFound(address_id)
        return found

    async def list(self, user_id: str) -> list[Address]:
        """A user's addresses, the default one first, then the oldest."""
        async with self._database.connection() as connection:
            return [Address(**row) for row in await (await connection.execute(_LIST, [user_id])).fetchall()]

    async def create(self, user_id: str, address: Address, now: datetime, *, once: Once[Address]) -> bytes:
        """Adds an address; it becomes the default one if it says so, or is the first.

        Raises:
            UserNotFound: there is no such user.
            TooManyAddresses: the book is full.
        """
        async with self._database.transaction() as tx:
            if (answered := await once.answered(tx)) is not None:
                return answered
            if (changes := await _locked(tx, user_id)) is None:
                raise UserNotFound(user_id)
            row = await (await tx.execute(_COUNT, [user_id])).fetchone()
            count = row["count"] if row else 0
            created = replace(address, is_default=default_of_new(count, wanted=address.is_default))
            cleared = await _ids(tx, _CLEAR_DEFAULT, [user_id]) if created.is_default and count else []
            await tx.execute(_INSERT, {**_values(user_id, created), "created_at": now})
            _tell(tx, user_id, changes, [created.address_id, *cleared])
            return once.answer(tx, created)

    async def replace(self, user_id: str, address: Address) -> Address:
        """Puts new values in an address's place. The default one stays the default, whatever is asked.

        Raises:
            AddressNotFound: the user has no such address.
        """
        async with self._database.transaction() as tx:
            changes = await _locked(tx, user_id)
            before = await _found(tx, user_id, address.address_id)
            after = replace(address, is_default=default_of_changed(was_default=before.is_default, wanted=address.is_default))
            if after == before:
                return after
            cleared = await _ids(tx, _CLEAR_DEFAULT, [user_id]) if after.is_default and not before.is_default else []
            tx.defer(_UPDATE, _values(user_id, after))
            _tell(tx, user_id, changes, [after.address_id, *cleared])
        return after

    async def delete(self, user_id: str, address_id: str) -> None:
        """Removes an address; with the default one gone, the oldest of the others becomes the default.

        Raises:
            AddressNotFound: the user has no such address.
        """
        async with self._database.transaction() as tx:
            changes = await _locked(tx, user_id)
            deleted = await (await tx.execute(_DELETE, [user_id, address_id])).fetchone()
            if deleted is None:
                raise AddressNotFound(address_id)
            promoted = await _ids(tx, _PROMOTE_OLDEST, {"user_id": user_id}) if deleted["is_default"] else []
            _tell(tx, user_id, changes, [address_id, *promoted])

    async def _find(self, wanted: Sequence[tuple[str, str]]) -> Sequence[Address | None]:
        users, addresses = zip(*wanted, strict=True)
        async with self._database.connection() as connection:
            rows = (await connection.execute(_GET_MANY, {"users": [*users], "addresses": [*addresses]})).tuples()
        found = {place: Address(*columns) for place, *columns in rows}
        return [found.get(place) for place in range(1, len(wanted) + 1)]


async def _locked(tx: Connection, user_id: str) -> int | None:
    """The user's changes so far; None when there is no such user."""
    row = await (await tx.execute(_LOCK_BOOK, [user_id])).fetchone()
    return row["changes"] if row else None


def _tell(tx: Connection, user_id: str, changes: int | None, address_ids: Sequence[str]) -> None:
    assert changes is not None, "an address has a user"
    tx.defer(_COUNT_CHANGE, [changes + 1, user_id])
    outbox.append(tx, [addresses_changed(user_id, changes + 1, address_ids)])


async def _ids(tx: Connection, statement: LiteralString, parameters: Params) -> list[str]:
    return [row["address_id"] for row in await (await tx.execute(statement, parameters)).fetchall()]


async def _found(connection: Connection, user_id: str, address_id: str) -> Address:
    row = await (await connection.execute(_GET, [user_id, address_id])).fetchone()
    if row is None:
        raise AddressNotFound(address_id)
    return Address(**row)


def _values(user_id: str, address: Address) -> dict[str, Any]:
    return {"user_id": user_id, **asdict(address)}
