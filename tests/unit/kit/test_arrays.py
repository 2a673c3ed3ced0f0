"""Lists as PostgreSQL arrays, read back by PostgreSQL itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from services.kit.database import Database
from services.kit.errors import InvalidArgument

WHEN = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


@pytest.fixture(scope="module")
async def database(module_database_url: str) -> AsyncIterator[Database]:
    database = Database(module_database_url)
    await database.open()
    yield database
    await database.close()


async def read_back(database: Database, kind: str, items: list[Any]) -> list[Any]:
    async with database.connection() as connection:
        row = await (await connection.execute(f"SELECT %s::{kind}[] AS items", [items])).fetchone()  # type: ignore[arg-type]
    assert row is not None
    return row["items"]


@pytest.mark.parametrize(
    ("kind", "items"),
    [
        ("text", []),
        ("text", ["plain", 'with "quotes"', "back\\slash", "comma, brace {}", "", "NULL", "ünïcödé ✓", "new\nline"]),
        ("text", [None, "x"]),
        ("bigint", [0, -1, 2**63 - 1]),
        ("float8", [0.1, -2.5e300]),
        ("boolean", [True, False, None]),
        ("bytea", [b"", b"\x00\xff\\\"'"]),
        ("timestamptz", [WHEN]),
        ("interval", [timedelta(days=3, microseconds=1)]),
        ("bigint", [[1, 2], [3, 4]]),
    ],
)
async def test_postgresql_reads_what_was_given(database: Database, kind: str, items: list[Any]):
    assert await read_back(database, kind, items) == items


async def test_json_comes_back_as_it_was(database: Database):
    assert await read_back(database, "jsonb", [Jsonb({"a": ['"', "\\"]})]) == [{"a": ['"', "\\"]}]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(items=st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))))
async def test_any_text_survives(database: Database, items: list[str]):
    assert await read_back(database, "text", items) == items


async def test_nul_is_refused_and_not_cut_off(database: Database):
    with pytest.raises(InvalidArgument):
        await read_back(database, "text", ["a\0b"])
