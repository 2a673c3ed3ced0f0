"""Client spans of SQL statements, by OpenTelemetry's conventions for databases; never their parameters.

A statement outside a recorded trace makes no span.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import psycopg
from opentelemetry import trace
from psycopg import sql
from psycopg.rows import Row

from services.kit.telemetry import tracing

if TYPE_CHECKING:
    from psycopg.abc import Params, Query

    # psycopg's own execute is an overload that a subclass cannot repeat in strict mode.
    Statement = Any

_WRITE = re.compile(
    r"\b(INSERT) +INTO\s+([\w.]+)|(?<!FOR )(?<!KEY )(?<!DO )\b(UPDATE)\s+([\w.]+)|\b(DELETE) +FROM\s+([\w.]+)", re.IGNORECASE
)
_READ = re.compile(r"\b(?:FROM|JOIN)\s+([a-z_][\w.]*+)(?!\s*\()", re.IGNORECASE)
_CALL = re.compile(r"\bSELECT\s+([a-z_][\w.]*+)\s*\(", re.IGNORECASE)
_FIRST_WORD = re.compile(r"\s*(\w+)")


@lru_cache(maxsize=4096)
def summary(statement: str) -> str:
    """The statement's verb and main table: "INSERT orders", "SELECT pg_notify" for a call alone, "BEGIN" for the rest."""
    if write := _WRITE.search(statement):
        verb, target = (part for part in write.groups() if part)
        return f"{verb.upper()} {target}"
    first = _FIRST_WORD.match(statement)
    verb = first[1].upper() if first else ""
    if verb not in ("SELECT", "WITH"):
        return verb
    found = _READ.search(statement) or _CALL.search(statement)
    return f"SELECT {found[1]}" if found else "SELECT"


def statement_span(connection: psycopg.AsyncConnection[Any], name: str) -> trace.Span:
    """A started span of one statement; the caller ends it. Ask `is_traced` first."""
    attributes = {"db.system.name": "postgresql", "db.namespace": connection.info.dbname, "db.query.summary": name}
    return tracing.span(name, kind=tracing.SpanKind.CLIENT, attributes=attributes)


def is_traced() -> bool:
    """Whether the running code's trace is recorded."""
    return trace.get_current_span().is_recording()


class TracedCursor(psycopg.AsyncCursor[Row]):
    """A cursor with a span for each statement."""

    async def execute(self, query: Statement, params: Params | None = None, **options: Any) -> Any:
        if not is_traced():
            return await super().execute(query, params, **options)
        with self._span(query):
            return await super().execute(query, params, **options)

    async def executemany(self, query: Query, params_seq: Iterable[Params], *, returning: bool = False) -> None:
        if not is_traced():
            return await super().executemany(query, params_seq, returning=returning)
        with self._span(query):
            return await super().executemany(query, params_seq, returning=returning)

    @contextmanager
    def _span(self, query: Query) -> Generator[None, None, None]:
        span = statement_span(self.connection, summary(_text(query)))
        try:
            yield
        except BaseException as error:
            span.record_exception(error)
            raise
        finally:
            span.end()


def _text(query: Query) -> str:
    if isinstance(query, str):
        return query
    if isinstance(query, bytes):
        return query.decode()
    return query.as_string(None) if isinstance(query, sql.Composable) else ""
