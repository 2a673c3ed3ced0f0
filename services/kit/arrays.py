"""Lists as PostgreSQL arrays, written as text in one go.

psycopg's own dumper looks at every element to find the array's type, in Python: some 50 microseconds a parameter, more than a small
statement's work. Here the statement says the type (`%s::uuid[]`, `= ANY (%s)`), and PostgreSQL reads the elements.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import orjson
from psycopg import DataError
from psycopg.adapt import Dumper
from psycopg.types.json import Json, Jsonb


class ArrayDumper(Dumper):
    """Lists of None, bool, int, float, str, bytes, times, durations, Jsonb, and lists of these."""

    def dump(self, obj: list[Any]) -> bytes:
        literal = _array(obj)
        if "\0" in literal:
            # libpq would end the parameter there, without a word.
            raise DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes")
        return literal.encode()


def _array(items: list[Any]) -> str:
    kinds = set(map(type, items))
    if kinds == {int}:
        return "{" + ",".join(map(repr, items)) + "}"
    if kinds == {str}:
        return _texts(items)
    return "{" + ",".join([_element(item) for item in items]) + "}"


def _texts(items: list[str]) -> str:
    # Nearly always there is nothing to escape, which one look at all of them tells.
    joined = '","'.join(items)
    if "\\" in joined or joined.count('"') != 2 * (len(items) - 1):
        return "{" + ",".join(map(_quoted, items)) + "}"
    return f'{{"{joined}"}}'


def _element(item: Any) -> str:
    if item is None:
        return "NULL"
    if isinstance(item, str):
        return _quoted(item)
    if isinstance(item, bool):
        return "t" if item else "f"
    if isinstance(item, int | float):
        return repr(item)
    if isinstance(item, bytes):
        return f'"\\\\x{item.hex()}"'
    if isinstance(item, date):
        return f'"{item.isoformat()}"'
    if isinstance(item, timedelta):
        return f'"{item / timedelta(microseconds=1):.0f} microseconds"'
    if isinstance(item, Json | Jsonb):
        return _quoted(orjson.dumps(item.obj).decode())
    if isinstance(item, list):
        return _array(item)  # pyright: ignore[reportUnknownArgumentType]
    raise DataError(f"a {type(item).__name__} can't be an array's element")


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
