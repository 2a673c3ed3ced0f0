"""Client spans of round trips to PostgreSQL, by OpenTelemetry's conventions for databases; never their parameters.

Statements outside a recorded trace make no span.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import psycopg

from services.kit.telemetry import tracing

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


def is_traced() -> bool:
    """Whether the running code's trace is recorded."""
    return tracing.current().is_recording()


@contextmanager
def span_of(connection: psycopg.AsyncConnection[Any], *summaries: str) -> Generator[None, None, None]:
    """A span around one round trip, named by all that it carries: "UPDATE orders; INSERT outbox; COMMIT"."""
    name = "; ".join(summaries)
    attributes: dict[str, str | int] = {
        "db.system.name": "postgresql",
        "db.namespace": connection.info.dbname,
        "db.query.summary": name,
    }
    if len(summaries) > 1:
        attributes["db.operation.batch.size"] = len(summaries)
    span = tracing.span(name, kind=tracing.SpanKind.CLIENT, attributes=attributes)
    try:
        yield
    except BaseException as error:
        span.record_exception(error)
        raise
    finally:
        span.end()
