"""Statements as PostgreSQL reads them, with $1 for %s."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from psycopg import sql
from psycopg.adapt import PyFormat

from services.kit.statements import summary
from services.kit.values import value

if TYPE_CHECKING:
    from psycopg.abc import Params, Query

_PLACEHOLDER = re.compile(r"%(?:\((\w+)\))?([sbt%])")
_FORMATS = {"s": PyFormat.AUTO, "b": PyFormat.BINARY, "t": PyFormat.TEXT}


class Parsed(NamedTuple):
    """A statement as PostgreSQL reads it, with $1 for %s."""

    text: bytes
    names: tuple[str, ...]
    """Of its parameters, where they have names."""
    formats: tuple[PyFormat, ...]
    summary: str
    is_kept: bool
    """Whether it is prepared; a composed one may never come again."""


@value
class Statement:
    """One to be sent."""

    parsed: Parsed
    values: Sequence[Any]


def statement_of(query: Query, params: Params | None) -> Statement:
    """A query with its parameters."""
    parsed = _parsed(text_of(query), isinstance(query, str | bytes), params is not None)
    if isinstance(params, Mapping):
        return Statement(parsed, [params[name] for name in parsed.names])
    return Statement(parsed, params or ())


def text_of(query: Query) -> str:
    """The text of a query that may be composed."""
    if isinstance(query, str):
        return query
    if isinstance(query, bytes):
        return query.decode()
    return query.as_string(None) if isinstance(query, sql.Composable) else ""


@lru_cache(maxsize=4096)
def _parsed(text: str, is_kept: bool, has_parameters: bool) -> Parsed:
    names: dict[str, int] = {}
    formats: list[PyFormat] = []

    def place(found: re.Match[str]) -> str:
        name, kind = found.groups()
        if kind == "%":
            return "%"
        if name not in names or name is None:
            names[name or f"{len(formats)}"] = len(formats) + 1
            formats.append(_FORMATS[kind])
        return f"${names[name] if name else len(formats)}"

    numbered = _PLACEHOLDER.sub(place, text) if has_parameters else text
    return Parsed(numbered.encode(), tuple(names), tuple(formats), summary(text), is_kept)
