"""How long a commit may take is up to the server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from psycopg import waiting

if TYPE_CHECKING:
    from psycopg.abc import PQGen
    from psycopg.pq.abc import PGconn, PGresult

_LOOK_SECONDS = 0.1
"""As often as psycopg's own wait looks up."""


async def commit_or_hang_up(pgconn: PGconn, exchange: PQGen[list[PGresult]]) -> list[PGresult]:
    """Waits for an exchange that ends in a COMMIT; when cancelled it hangs up, and doesn't ask the server to stop.

    A server that is asked to while the commit waits for its standby ends the wait and not the commit: others see what was committed, and
    answer by it, and the standby may lack it when it takes over. One that is hung up on goes on waiting.
    https://www.postgresql.org/docs/18/warm-standby.html#SYNCHRONOUS-REPLICATION-HA
    """
    try:
        return await waiting.wait_async(exchange, pgconn.socket, interval=_LOOK_SECONDS)
    except asyncio.CancelledError:
        pgconn.finish()
        raise
