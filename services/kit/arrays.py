"""Lists as PostgreSQL arrays, written as text in one go.

psycopg's own dumper looks at every element to find the array's type, in Python: some 50 microseconds a parameter, more than a small
statement's work. Here the statement says the type (`%s::uuid[]`, `= ANY (%s)`), and PostgreSQL reads the elements.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
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
    if kinds == {str}:
        return _texts(items)
    write = _WRITERS.get(kinds.pop(), _element) if len(kinds) == 1 else _element
    return "{" + ",".join(map(write, items)) + "}"


def _texts(items: list[str]) -> str:
    # Nearly always there is nothing to escape, which one look at all of them tells.
    joined = '","'.join(items)
    if "\\" in joined or joined.count('"') != 2 * (len(items) - 1):
        return "{" + ",".join(map(_quoted, items)) + "}"
    return f'{{"{joined}"}}'


def _element(item: Any) -> str:
    if write := _WRITERS.get(item.__class__):
        return write(item)
    for kind, write in _WRITERS.items():
        if isinstance(item, kind):
            return write(item)
    raise DataError(f"a {type(item).__name__} can't be an array's element")


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


_WRITERS: dict[type[Any], Callable[[Any], str]] = {
    type(None): lambda _: "NULL",
    str: _quoted,
    bool: lambda item: "t" if item else "f",
    int: int.__repr__,
    float: repr,
    bytes: lambda item: f'"\\\\x{item.hex()}"',
    date: lambda item: f'"{item.isoformat()}"',
    datetime: lambda item: f'"{item.isoformat()}"',
    timedelta: lambda item: f'"{item / timedelta(microseconds=1):.0f} microseconds"',
    Json: lambda item: _quoted(orjson.dumps(item.obj).decode()),
    Jsonb: lambda item: _quoted(orjson.dumps(item.obj).decode()),
    list: _array,
}
"""By type; a subclass is written as the first of these that it belongs to."""
