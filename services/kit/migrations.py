"""Schema changes: plain SQL files, applied once each, in order, under a lock.

A file is `NNNN_name.sql` and runs in one transaction. It is never edited once it was applied somewhere: add another.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import psycopg
from psycopg.rows import TupleRow

from services.kit.values import value

KIT_MIGRATIONS = Path(__file__).parent / "migrations"
"""Outbox, inbox, idempotency keys and leaders: for every database that a service owns."""

_FILE_NAME = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
_LOCK = 0x6D696772617465
"""Spells "migrate"; the key of the advisory lock."""


class MigrationError(Exception):
    """The files and the database disagree; the message is a sentence for whoever runs the command."""


@value
class Migration:
    """One file."""

    owner: str
    """Whose sequence of numbers it belongs to: "kit" or a service."""
    version: int
    name: str
    sql: bytes

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql).hexdigest()

    @property
    def file_name(self) -> str:
        return f"{self.version:04}_{self.name}.sql"


async def migrate(url: str, sources: Sequence[tuple[str, Path]]) -> list[str]:
    """Applies what is missing and returns it as "owner/NNNN_name.sql". Processes that migrate at once wait for each other.

    Args:
        sources: (owner, folder) pairs, in the order in which they are applied.

    Raises:
        MigrationError: a file that was applied has changed, two files have one number, or one comes before what is applied already.
    """
    planned = [read_migrations(owner, folder) for owner, folder in sources]
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
        # A change that waits for a table makes everybody behind it wait too: better to fail and be run again.
        await connection.execute("SET lock_timeout = '10s'")
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_migrations (owner text, version integer, name text NOT NULL, checksum text NOT NULL,"
            " applied_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (owner, version))"
        )
        return [applied for migrations in planned for applied in await _apply_missing(connection, migrations)]


def read_migrations(owner: str, folder: Path) -> list[Migration]:
    """The folder's files in order.

    Raises:
        MigrationError: a name is not NNNN_name.sql, or two files have one number.
    """
    migrations: dict[int, Migration] = {}
    for path in sorted(folder.glob("*.sql")):
        matched = _FILE_NAME.fullmatch(path.name)
        if not matched:
            raise MigrationError(f"{owner}/{path.name} is not named like 0001_what_it_does.sql.")
        migration = Migration(owner, int(matched[1]), matched[2], path.read_bytes())
        if rival := migrations.get(migration.version):
            raise MigrationError(f"{owner}/{rival.file_name} and {owner}/{path.name} have the same number.")
        migrations[migration.version] = migration
    return list(migrations.values())


async def _apply_missing(connection: psycopg.AsyncConnection[TupleRow], migrations: Sequence[Migration]) -> list[str]:
    if not migrations:
        return []
    cursor = await connection.execute("SELECT version, checksum FROM schema_migrations WHERE owner = %s", [migrations[0].owner])
    checksums = {int(version): str(checksum) for version, checksum in await cursor.fetchall()}
    # More may be applied than there are files: an older release runs on a newer schema while it is rolled back.
    newest, applied = max(checksums, default=0), list[str]()
    for migration in migrations:
        label = f"{migration.owner}/{migration.file_name}"
        if migration.version in checksums:
            if checksums[migration.version] != migration.checksum:
                raise MigrationError(
                    f"{label} was changed after it was applied to {connection.info.dbname}: restore it and put the change into a new file."
                )
        elif migration.version < newest:
            raise MigrationError(
                f"{label} is new, but {connection.info.dbname} is already at {migration.owner}/{newest:04}: give it a higher number."
            )
        else:
            await _apply(connection, migration)
            applied.append(label)
    return applied


async def _apply(connection: psycopg.AsyncConnection[TupleRow], migration: Migration) -> None:
    async with connection.transaction():
        await connection.execute(migration.sql)
        await connection.execute(
            "INSERT INTO schema_migrations (owner, version, name, checksum) VALUES (%s, %s, %s, %s)",
            [migration.owner, migration.version, migration.name, migration.checksum],
        )
