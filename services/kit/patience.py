"""A connection to PostgreSQL that waits for as long as the server is at work, and for no server that isn't.

A connection can be lost without a word (a firewall forgets it, a machine is gone): then neither side would ever hear of the other again. So
after some seconds without an answer the server is asked over another connection whether it is at work for this one.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import psycopg
from psycopg import errors
from psycopg.conninfo import make_conninfo
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow
from psycopg.waiting import wait_async

if TYPE_CHECKING:
    from psycopg.abc import RV, PQGen

_INTERVAL_SECONDS = 0.1
"""psycopg's own."""
_PATIENCE_SECONDS = 2.0
_ASIDE_SECONDS = 2
"""For a question over another connection."""
_CANCEL_SECONDS = 2.0

_IS_WORKED_ON = "SELECT state = 'active' AND wait_event IS DISTINCT FROM 'ClientRead' FROM pg_stat_activity WHERE pid = %s"


class PatientConnection(psycopg.AsyncConnection[DictRow]):
    """How long a statement may take is up to the server; how long anybody waits for it, up to the caller."""

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

    async def wait_for_commit(self, gen: PQGen[RV]) -> RV:
        """The same for what ends in a COMMIT; when cancelled it hangs up, and doesn't ask the server to stop.

        A server that is asked to while the commit waits for its standby ends the wait and not the commit: others see what was committed,
        and answer by it, and the standby may lack it when it takes over. One that is hung up on goes on waiting.
        https://www.postgresql.org/docs/18/warm-standby.html#SYNCHRONOUS-REPLICATION-HA
        """
        try:
            return await self._patiently(gen, _INTERVAL_SECONDS)
        except asyncio.CancelledError:
            self.pgconn.finish()
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
