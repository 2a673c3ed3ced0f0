"""Work that one process does for all: whoever holds an advisory lock on a session of its own leads.

The session dies with its process; PostgreSQL ends it too when a frozen process has not spoken for 5 seconds. A leader that wakes up
again finds its lease too old to trust (`Lease.check`), and what it still writes is refused by its epoch (`Lease.fence`). This is the
fencing token of https://martin.kleppmann.com/2016/02/08/how-to-do-distributed-locking.html.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, LiteralString

import psycopg
import structlog
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from services.kit.database import Connection
from services.kit.errors import Unavailable

Work = Callable[["Lease"], Awaitable[None]]

_SESSION_SECONDS = 5
"""A session that is silent this long is ended by PostgreSQL, and its lock is free."""
_PING_SECONDS = 1.0
_TRUSTED_SECONDS = 4.0
"""How long after the last answered ping a leader believes in itself; below the session's time, for the clocks' sake."""
_CONTEND_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 10.0

_WIN = """
INSERT INTO leaders (name, epoch) VALUES (%s, 1)
ON CONFLICT (name) DO UPDATE SET epoch = leaders.epoch + 1, elected_at = now() RETURNING epoch
"""

_log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


class LeaseLost(Exception):
    """Another process leads, or may by now."""


class Lease:
    """The right to lead, for as long as the session lives."""

    def __init__(self, name: str, epoch: int) -> None:
        self.name = name
        self.epoch = epoch
        """Grows with every election."""
        self._trusted_until = 0.0

    def check(self) -> None:
        """To be called before every effect.

        Raises:
            LeaseLost: no ping was answered for 4 seconds, or the session has ended.
        """
        if time.monotonic() >= self._trusted_until:
            raise LeaseLost(f"epoch {self.epoch} of {self.name} is over")

    async def fence(self, tx: Connection) -> None:
        """Keeps the next leader from being elected until this transaction (in the database of the election) ends.

        Raises:
            LeaseLost: the next one is elected already.
        """
        cursor = await tx.execute("SELECT 1 FROM leaders WHERE name = %s AND epoch = %s FOR SHARE", [self.name, self.epoch])
        if not await cursor.fetchone():
            raise LeaseLost(f"epoch {self.epoch} of {self.name} was succeeded")

    def renew(self, asked_at: float) -> None:
        """Notes that a ping sent at this time (monotonic seconds) was answered."""
        self._trusted_until = asked_at + _TRUSTED_SECONDS

    def end(self) -> None:
        self._trusted_until = 0.0


async def lead(database_url: str, name: str, work: Work) -> None:
    """Contends for ever, and does the work whenever and as long as this process leads.

    The work is cancelled at once when the session is lost. When it fails, the lock is given up and contended for again after a pause, which
    grows; a database that is away is looked for every second.

    Args:
        database_url: the database of the election; it holds the kit's table `leaders`.
        name: what is led, unique in that database.
    """
    pause = _CONTEND_SECONDS
    while True:
        started_at = time.monotonic()
        try:
            await _lead_once(database_url, name, work)
        except (LeaseLost, Unavailable, psycopg.OperationalError) as error:
            _log.warning("leadership lost or out of reach", leader=name, error=type(error).__name__)
            pause = _CONTEND_SECONDS
        except Exception:
            _log.exception("leader failed", leader=name)
            is_new = time.monotonic() - started_at < _LONGEST_PAUSE_SECONDS
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS) if is_new else _CONTEND_SECONDS
        await asyncio.sleep(random.uniform(0.5, 1.0) * pause)


def together(*works: Work) -> Work:
    """Several works under one lease, and so on one session; when one fails, all are begun again."""

    async def work(lease: Lease) -> None:
        await _first_of(*(_run(each, lease) for each in works), of=asyncio.FIRST_EXCEPTION)

    return work


async def _lead_once(database_url: str, name: str, work: Work) -> None:
    session = await Connection.connect(_session_url(database_url), autocommit=True)
    try:
        lease = await _win(session, name)
        await _first_of(_run(work, lease), _keep(session, lease))
    finally:
        await session.close()


async def _win(session: Connection, name: str) -> Lease:
    # Asking again keeps the session from idling; waiting in pg_advisory_lock would hold back vacuum for as long as somebody else leads.
    while not await _answer(session, "SELECT pg_try_advisory_lock(%s)", _lock_of(name)):
        await asyncio.sleep(random.uniform(0.8, 1.2) * _CONTEND_SECONDS)
    asked_at = time.monotonic()
    lease = Lease(name, await _answer(session, _WIN, name))
    lease.renew(asked_at)
    return lease


async def _keep(session: Connection, lease: Lease) -> None:
    """Pings until the session is lost, and then raises."""
    try:
        while True:
            # Nobody notifies this session: this waits, but ends at once with an error when the server hangs up.
            async for _ in session.notifies(timeout=_PING_SECONDS):
                pass
            asked_at = time.monotonic()
            async with asyncio.timeout(_TRUSTED_SECONDS - _PING_SECONDS):
                await _answer(session, "SELECT %s::int", 1)
            lease.renew(asked_at)
    except TimeoutError:
        raise LeaseLost(f"epoch {lease.epoch} of {lease.name}: the database is silent") from None
    finally:
        # Before the work is cancelled: what it does on its way out must not trust the lease.
        lease.end()


async def _answer(session: Connection, question: LiteralString, *parameters: Any) -> Any:
    return (await session.execute(question, parameters)).tuples()[0][0]


async def _first_of(*works: Coroutine[Any, Any, None], of: str = asyncio.FIRST_COMPLETED) -> None:
    """Runs all until one ends (or, of FIRST_EXCEPTION, fails), cancels the others and raises what the first one raised."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=of)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


async def _run(work: Work, lease: Lease) -> None:
    await work(lease)


def _lock_of(name: str) -> int:
    return int.from_bytes(hashlib.sha256(f"leader\0{name}".encode()).digest()[:8], "big", signed=True)


def _session_url(url: str) -> str:
    options = conninfo_to_dict(url).get("options") or ""
    return make_conninfo(url, options=f"{options} -c idle_session_timeout={_SESSION_SECONDS}s".strip(), connect_timeout=5)
