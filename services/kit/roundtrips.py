"""A connection to PostgreSQL that goes there and back as seldom as it can.

A statement through a cursor costs 150 to 200 µs of Python, and every switch to the server and back costs both sides more than a small
statement's work. Here statements that need not wait for each other's answers go together (libpq's pipeline mode), each prepared once for
the connection: BEGIN with the first statement, what was deferred with the next one or the COMMIT. A transaction that locks, decides and
writes takes two round trips, at a quarter of the CPU.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import adapt, generators
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus
from psycopg.rows import DictRow

from services.kit.patience import PatientConnection
from services.kit.placeholders import Parsed, Statement, statement_of, text_of
from services.kit.statements import is_traced, span_of
from services.kit.values import value

if TYPE_CHECKING:
    from psycopg.abc import Params, Query, Transformer
    from psycopg.pq.abc import PGconn, PGresult

_MOST_PREPARED = 300
"""Statements that one connection keeps prepared. Texts are constants, so that nothing comes near it."""

_PING_SECONDS = 2.0


@value
class _Sent:
    """A statement with its parameters written out."""

    parsed: Parsed
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


class Connection(PatientConnection):
    """A connection of a Database."""

    has_outbox_rows: bool = False
    """Set by outbox.append, so that the commit wakes the relay."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._deferred: list[Statement] = []
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
        self._deferred.append(statement_of(query, params))

    async def script(self, query: Query) -> None:
        """Runs several statements of one text, without parameters."""
        await self._run_deferred()
        with span_of(self, text_of(query)):
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
        if not self.closed:
            await super().rollback()

    async def _run_deferred(self) -> None:
        deferred, self._deferred = self._deferred, []
        if deferred:
            await self._run(deferred)

    async def _run(self, statements: Sequence[Statement]) -> list[PGresult]:
        if not is_traced():
            return await self._exchange(statements)
        with span_of(self, *[statement.parsed.summary for statement in statements if statement is not _BEGIN]):
            return await self._exchange(statements)

    async def _exchange(self, statements: Sequence[Statement]) -> list[PGresult]:
        async with self.lock:
            sent = self._written(statements)
            exchange = _there_and_back(self.pgconn, sent)
            wait = self.wait_for_commit if statements[-1] is _COMMIT else self.wait
            answers = iter(await wait(exchange))
            results = [self._result_of(one, answers) for one in sent]
        self._heard_at = time.monotonic()
        for result in results:
            if result.status == ExecStatus.FATAL_ERROR:
                raise error_from_result(result)
        return results

    def _written(self, statements: Sequence[Statement]) -> list[_Sent]:
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


_BEGIN = statement_of("BEGIN", None)
_COMMIT = statement_of("COMMIT", None)
_PING = statement_of("SELECT", None)
