"""A service's own PostgreSQL database: a small pool, transactions, and a client span for every statement.

Rows are dicts. `uuid` columns are read as str, as ids are everywhere else; times are aware and in UTC.
"""

from __future__ import annotations

import asyncio
import random
import select
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import orjson
import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import dict_row
from psycopg.types.json import set_json_loads
from psycopg.types.string import TextLoader
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from services.kit.arrays import ArrayDumper
from services.kit.errors import InvalidArgument, Unavailable
from services.kit.roundtrips import Connection, Result

__all__ = ["Connection", "Database", "Result", "TextUnstorable", "is_away", "session_url"]

T = TypeVar("T")

_RETRIES = 3
_WAIT_FOR_CONNECTION_SECONDS = 5.0
_CONNECT_SECONDS = 2
_IDLE_SECONDS = 60.0
_TRUSTED_SECONDS = 5.0
"""How long after its last answer a connection is taken for a live one."""
_SESSION_OPTIONS = "-c timezone=UTC -c idle_in_transaction_session_timeout=10s -c plan_cache_mode=force_generic_plan -c enable_seqscan=off"
"""A process that freezes inside a transaction must not keep its row locks. A statement is planned once: for lists of parameters
PostgreSQL would plan anew each time, at two to three times the cost of running it. And where an index serves, it is used: a statement that
was planned while its table was small would read all of it, until long after it has grown."""

_AWAY = ("08", "53", "57P", "25P03", "25P04")
"""How the SQLSTATEs begin of a server that is gone, full, shutting down, or has ended a session that idled in a transaction."""


class TextUnstorable(InvalidArgument):
    """A text holds a NUL character, which PostgreSQL keeps in no text; no client needs one, so no field's rules name it."""

    reason = "VALIDATION_FAILED"


class Database:
    """Connections are opened on demand and closed after a minute without use.

    Raises, from every method that talks to the server:
        Unavailable: it is away, or no connection became free within 5 seconds.
        TextUnstorable: a text was to be kept or looked for that has a NUL character in it.
    """

    def __init__(self, url: str, *, max_connections: int = 3) -> None:
        self.url = url
        self.outbox_committed = asyncio.Event()
        """Set whenever a transaction of this process that wrote to the outbox has committed; the relay clears it."""

        self._pool = AsyncConnectionPool(
            session_url(url),
            connection_class=Connection,
            kwargs={"row_factory": dict_row, "autocommit": True},
            min_size=0,
            max_size=max_connections,
            open=False,
            configure=_adapt,
            timeout=_WAIT_FOR_CONNECTION_SECONDS,
            max_idle=_IDLE_SECONDS,
            reconnect_timeout=1.0,
            name=str(conninfo_to_dict(url).get("dbname", "")),
        )

    async def open(self) -> None:
        """Readies the pool; connects to nothing yet."""
        await self._pool.open()

    async def close(self) -> None:
        await self._pool.close()

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[Connection, None]:
        """A READ COMMITTED transaction: commits at the end of the block, rolls back if it raises.

        When the connection is lost while committing, Unavailable is raised and the outcome is unknown: look it up by key.
        """
        async with self.connection() as connection:
            connection.has_outbox_rows = False
            connection.begin()
            try:
                yield connection
                await connection.commit()
            except BaseException:
                await connection.rollback()
                raise
            if connection.has_outbox_rows:
                self.outbox_committed.set()

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[Connection, None]:
        """A connection in autocommit mode, for reads and for writes of a single statement.

        Don't ask for a second one while holding it: with a pool of three, three callers doing so wait for each other.
        """
        try:
            connection = await self._alive()
            try:
                yield connection
            finally:
                await self._pool.putconn(connection)
        except PoolTimeout as error:
            raise Unavailable("no database connection became free in time") from error
        except psycopg.Error as error:
            if is_away(error):
                raise Unavailable("the database is away") from error
            if _is_about_nul(error):
                raise TextUnstorable("A text must not contain a NUL character.") from None
            raise

    async def run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Does the work in a transaction, again (up to 3 times) when PostgreSQL refused it for the sake of a rival.

        The work must be free of effects outside the transaction.
        """
        for attempt in range(_RETRIES):
            try:
                async with self.transaction() as tx:
                    return await work(tx)
            except (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected):
                await asyncio.sleep(random.uniform(0, 0.01 * 2**attempt))
        async with self.transaction() as tx:
            return await work(tx)

    async def _alive(self) -> Connection:
        while True:
            connection = await self._unless_cancelled()
            try:
                if not _was_hung_up(connection) and (connection.idle_seconds < _TRUSTED_SECONDS or await connection.is_answered()):
                    return connection
                await connection.close()
            except BaseException:
                await self._pool.putconn(connection)
                raise
            await self._pool.putconn(connection)

    async def _unless_cancelled(self) -> Connection:
        # asyncio.wait_for, which the pool waits with, forgets a cancellation that arrives together with the connection (until Python 3.12).
        task = asyncio.current_task()
        cancelled = task.cancelling() if task else 0
        connection = await self._pool.getconn()
        if task and task.cancelling() > cancelled:
            await self._pool.putconn(connection)
            raise asyncio.CancelledError
        return connection


def session_url(url: str) -> str:
    """The address with what every session of a service sets: UTC, and no idling inside a transaction."""
    options = conninfo_to_dict(url).get("options") or ""
    return make_conninfo(url, options=f"{options} {_SESSION_OPTIONS}".strip(), connect_timeout=_CONNECT_SECONDS)


def is_away(error: psycopg.Error) -> bool:
    """Whether the server could not be reached or hung up, rather than refused the statement."""
    if error.sqlstate is None:
        return isinstance(error, psycopg.OperationalError)
    return error.sqlstate.startswith(_AWAY)


def _is_about_nul(error: psycopg.Error) -> bool:
    # psycopg refuses to send one in text (without an SQLSTATE), PostgreSQL to read one in jsonb.
    if error.sqlstate is None:
        return isinstance(error, psycopg.DataError) and "NUL" in str(error)
    return isinstance(error, psycopg.errors.UntranslatableCharacter)


def _was_hung_up(connection: Connection) -> bool:
    """An idle connection has nothing to say but goodbye: a readable socket means that the server closed it."""
    if connection.closed:
        return True
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


async def _adapt(connection: psycopg.AsyncConnection[Any]) -> None:
    connection.adapters.register_loader("uuid", TextLoader)
    set_json_loads(orjson.loads, connection)
    connection.adapters.register_dumper(list, ArrayDumper)
