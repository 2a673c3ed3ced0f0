"""A connection to PostgreSQL that goes there and back as seldom as it can.

A statement through a cursor costs 150 to 200 µs of Python, and every switch to the server and back costs both sides more than a small
statement's work. Here statements that need not wait for each other's answers go together (libpq's pipeline mode), each prepared once for
the connection: BEGIN with the first statement, what was deferred with the next one or the COMMIT. A transaction that locks, decides and
writes takes two round trips, at a quarter of the CPU.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg
from psycopg import adapt, errors, generators, sql
from psycopg.adapt import PyFormat
from psycopg.conninfo import make_conninfo
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.rows import DictRow
from psycopg.waiting import wait_async

from services.kit.statements import is_traced, span_of, summary

if TYPE_CHECKING:
    from psycopg.abc import RV, Params, PQGen, Query, Transformer
    from psycopg.pq.abc import PGconn, PGresult

_MOST_PREPARED = 300
"""Statements that one connection keeps prepared. Texts are constants, so that nothing comes near it."""

_INTERVAL_SECONDS = 0.1
"""psycopg's own."""
_PATIENCE_SECONDS = 4.0
_ASIDE_SECONDS = 2
"""For a question over another connection."""
_CANCEL_SECONDS = 2.0
_PING_SECONDS = 2.0

_IS_WORKED_ON = "SELECT state = 'active' AND wait_event IS DISTINCT FROM 'ClientRead' FROM pg_stat_activity WHERE pid = %s"

_PLACEHOLDER = re.compile(r"%(?:\((\w+)\))?([sbt%])")
_FORMATS = {"s": PyFormat.AUTO, "b": PyFormat.BINARY, "t": PyFormat.TEXT}


class _Parsed(NamedTuple):
    """A statement as PostgreSQL reads it, with $1 for %s."""

    text: bytes
    names: tuple[str, ...]
    """Of its parameters, where they have names."""
    formats: tuple[PyFormat, ...]
    summary: str
    is_kept: bool
    """Whether it is prepared; a composed one may never come again."""


@dataclass(frozen=True, slots=True)
class _Statement:
    parsed: _Parsed
    values: Sequence[Any]


@dataclass(frozen=True, slots=True)
class _Sent:
    """A statement with its parameters written out."""

    parsed: _Parsed
    values: Sequence[Any]
    types: tuple[int, ...]
    formats: Sequence[Any]
    name: bytes | None
    """Of the prepared statement; None: not kept."""
    is_new: bool
    """Whether it is to be prepared first."""


class Result:
    """What a statement answered."""

    def __init__(self, result: PGresult, transformer: Transformer) -> None:
        self._result = result
        self._transformer = transformer

    @property
    def rowcount(self) -> int:
        """Rows returned, or changed; -1 for a statement that does neither."""
        count = self._result.command_tuples
        return -1 if count is None else count

    async def fetchall(self) -> list[DictRow]:
        """The rows, as dicts."""
        names = self._names()

        def named(values: Sequence[Any]) -> DictRow:
            return dict(zip(names, values, strict=True))

        return self._rows(named)

    async def fetchone(self) -> DictRow | None:
        """The first row; None when there is none."""
        rows = await self.fetchall()
        return rows[0] if rows else None

    def tuples(self) -> list[tuple[Any, ...]]:
        """The rows, as tuples."""
        return self._rows(tuple)

    def _rows(self, make_row: Callable[[Sequence[Any]], Any]) -> list[Any]:
        if not self._result.ntuples:
            return []
        self._transformer.set_pgresult(self._result)
        return self._transformer.load_rows(0, self._result.ntuples, make_row)

    def _names(self) -> list[str]:
        return [(self._result.fname(column) or b"").decode() for column in range(self._result.nfields)]


class Connection(psycopg.AsyncConnection[DictRow]):
    """A connection of a Database.

    A statement may take as long as the server works on it. But a connection can be lost without a word (a firewall forgets it, a machine
    is gone): then neither side would ever hear of the other again. So after some seconds without an answer the server is asked over another
    connection whether it is at work for this one.
    """

    has_outbox_rows: bool = False
    """Set by outbox.append, so that the commit wakes the relay."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._deferred: list[_Statement] = []
        self._names: dict[tuple[bytes, tuple[int, ...]], bytes] = {}
        self._numbers = count()
        self._transformer: Transformer | None = None
        self._heard_at = time.monotonic()

    @property
    def idle_seconds(self) -> float:
        """Since the server's last answer."""
        return time.monotonic() - self._heard_at

    async def is_answered(self) -> bool:
        """Whether the server says something within two seconds; closes the connection otherwise."""
        try:
            async with asyncio.timeout(_PING_SECONDS):
                await self._exchange([_PING])
        except (TimeoutError, psycopg.OperationalError):
            await self.close()
            return False
        return True

    async def execute(self, query: Query, params: Params | None = None) -> Result:  # type: ignore[override]
        """Runs one statement.

        Raises:
            psycopg.Error: it failed, or something deferred before it.
        """
        return (await self.execute_all((query, params)))[0]

    async def execute_all(self, *statements: tuple[Query, Params | None]) -> list[Result]:
        """Runs statements one after the other, in one round trip: each sees what the one before it did, or waited for.

        Raises:
            psycopg.Error: one failed, or something deferred before it; those after it were not run.
        """
        for query, params in statements:
            self.defer(query, params)
        deferred, self._deferred = self._deferred, []
        results = await self._run(deferred)
        return [Result(result, self._adapted()) for result in results[-len(statements) :]]

    def defer(self, query: Query, params: Params | None = None) -> None:
        """Sends a statement with the next one, or with the COMMIT; that one then fails when it does. Its answer is not read."""
        self._deferred.append(_statement(query, params))

    async def script(self, query: Query) -> None:
        """Runs several statements of one text, without parameters."""
        await self._run_deferred()
        with span_of(self, _text(query)):
            await super().execute(query)

    def begin(self) -> None:
        """A transaction begins with the next statement."""
        self._deferred = [_BEGIN]

    async def commit(self) -> None:
        """Ends the transaction; sends nothing when nothing was done in it.

        Raises:
            psycopg.Error: something deferred failed; or it is not known whether the transaction has been committed.
        """
        deferred, self._deferred = self._deferred, []
        if deferred != [_BEGIN]:
            await self._run([*deferred, _COMMIT])

    async def rollback(self) -> None:
        """Undoes the transaction."""
        self._deferred = []
        await super().rollback()

    async def wait(self, gen: PQGen[RV], interval: float = _INTERVAL_SECONDS, timeout: float | None = None) -> RV:
        """Waits as psycopg does; when nobody says how long, for as long as the server may be at work.

        Raises:
            psycopg.OperationalError: the server has nothing to do for this connection, or is gone.
        """
        if timeout is not None:
            return await super().wait(gen, interval, timeout)
        try:
            return await self._patiently(gen, interval)
        except asyncio.CancelledError:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                await self._stop(gen, interval)
            raise

    async def _patiently(self, gen: PQGen[RV], interval: float) -> RV:
        while True:
            try:
                return await wait_async(gen, self.pgconn.socket, interval, _PATIENCE_SECONDS)
            except errors._WaitTimeout:  # pyright: ignore[reportPrivateUsage] (what psycopg says that waiting raises)
                if await self._is_forgotten():
                    self.pgconn.finish()
                    raise psycopg.OperationalError("the connection was lost without a word") from None

    async def _stop(self, gen: PQGen[RV], interval: float) -> None:
        """Has the server drop what a cancelled caller wanted; others want to work, so that psycopg's ten seconds are too long for this."""
        try:
            await self.cancel_safe(timeout=_CANCEL_SECONDS)
            await wait_async(gen, self.pgconn.socket, interval, _CANCEL_SECONDS)
        except errors.QueryCanceled:
            return
        except psycopg.Error:
            self.pgconn.finish()
        except BaseException:
            self.pgconn.finish()
            raise

    async def _is_forgotten(self) -> bool:
        """Whether the server has nothing to do for this connection; while it is silent altogether, nobody knows."""
        try:
            address = make_conninfo(self.info.dsn, password=self.info.password or None, connect_timeout=_ASIDE_SECONDS)
            aside = await psycopg.AsyncConnection.connect(address, autocommit=True)
            async with asyncio.timeout(_ASIDE_SECONDS), aside:
                row = await (await aside.execute(_IS_WORKED_ON, [self.info.backend_pid])).fetchone()
        except (TimeoutError, errors.ConnectionTimeout):
            return False
        except psycopg.OperationalError:
            return True
        return not (row and row[0])

    async def _run_deferred(self) -> None:
        deferred, self._deferred = self._deferred, []
        if deferred:
            await self._run(deferred)

    async def _run(self, statements: Sequence[_Statement]) -> list[PGresult]:
        if not is_traced():
            return await self._exchange(statements)
        with span_of(self, *[statement.parsed.summary for statement in statements if statement is not _BEGIN]):
            return await self._exchange(statements)

    async def _exchange(self, statements: Sequence[_Statement]) -> list[PGresult]:
        async with self.lock:
            sent = self._written(statements)
            answers = iter(await self.wait(_there_and_back(self.pgconn, sent)))
            results = [self._result_of(one, answers) for one in sent]
        self._heard_at = time.monotonic()
        for result in results:
            if result.status == ExecStatus.FATAL_ERROR:
                raise error_from_result(result)
        return results

    def _written(self, statements: Sequence[_Statement]) -> list[_Sent]:
        """The statements' parameters as bytes. Nothing has been sent yet when one can't be written."""
        transformer = self._adapted()
        written: list[_Sent] = []
        new: dict[tuple[bytes, tuple[int, ...]], bytes] = {}
        for statement in statements:
            parsed = statement.parsed
            values = transformer.dump_sequence(statement.values, parsed.formats)
            types = tuple(transformer.types or ()) if statement.values else ()
            key = (parsed.text, types)
            name = self._names.get(key) or new.get(key)
            is_new = name is None and parsed.is_kept and len(self._names) + len(new) < _MOST_PREPARED
            if is_new:
                # A number is never used again: what a cancelled caller didn't hear of may be there all the same.
                name = new[key] = b"kit_%d" % next(self._numbers)
            written.append(_Sent(parsed, values, types, transformer.formats or () if statement.values else (), name, is_new))
        return written

    def _result_of(self, one: _Sent, answers: Iterator[PGresult]) -> PGresult:
        if one.is_new:
            prepared = next(answers)
            if prepared.status != ExecStatus.COMMAND_OK:
                next(answers)
                return prepared
            assert one.name is not None
            self._names[one.parsed.text, one.types] = one.name
        return next(answers)

    def _adapted(self) -> Transformer:
        # Made late: it remembers how values are written from its first use on.
        if self._transformer is None:
            self._transformer = adapt.Transformer(self)
        return self._transformer


def _there_and_back(pgconn: PGconn, statements: Sequence[_Sent]) -> Generator[Any, Any, list[PGresult]]:
    """One round trip, as psycopg's `wait` drives it: an answer for each PREPARE and each statement."""
    pgconn.enter_pipeline_mode()
    for one in statements:
        if one.name is None:
            pgconn.send_query_params(one.parsed.text, one.values, one.types, one.formats)
        else:
            if one.is_new:
                pgconn.send_prepare(one.name, one.parsed.text, one.types)
            pgconn.send_query_prepared(one.name, one.values, one.formats)
    pgconn.pipeline_sync()
    yield from generators.send(pgconn)
    answers: list[PGresult] = []
    while True:
        try:
            answer = (yield from generators.fetch_many(pgconn))[0]
        except psycopg.OperationalError:
            # A server that hangs up says why first.
            if answers and answers[-1].status == ExecStatus.FATAL_ERROR:
                raise error_from_result(answers[-1]) from None
            raise
        if answer.status == ExecStatus.PIPELINE_SYNC:
            pgconn.exit_pipeline_mode()
            return answers
        answers.append(answer)


def _statement(query: Query, params: Params | None) -> _Statement:
    parsed = _parsed(_text(query), isinstance(query, str | bytes), params is not None)
    if isinstance(params, Mapping):
        return _Statement(parsed, [params[name] for name in parsed.names])
    return _Statement(parsed, params or ())


def _text(query: Query) -> str:
    if isinstance(query, str):
        return query
    if isinstance(query, bytes):
        return query.decode()
    return query.as_string(None) if isinstance(query, sql.Composable) else ""


@lru_cache(maxsize=4096)
def _parsed(text: str, is_kept: bool, has_parameters: bool) -> _Parsed:
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
    return _Parsed(numbered.encode(), tuple(names), tuple(formats), summary(text), is_kept)


_BEGIN = _statement("BEGIN", None)
_COMMIT = _statement("COMMIT", None)
_PING = _statement("SELECT", None)
