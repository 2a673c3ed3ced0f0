"""What statements read: whoever goes through a whole table is found out by counting, not by a clock."""

from __future__ import annotations

from services.kit.database import Database

_ROWS_READ = """
SELECT sum(rows)::bigint AS rows_read FROM (
    SELECT relname, seq_tup_read FROM pg_stat_user_tables UNION ALL SELECT relname, idx_tup_read FROM pg_stat_user_indexes
) AS read (relname, rows) WHERE relname = ANY(%s::text[])
"""


async def rows_read(database: Database, *tables: str) -> int:
    """Rows of these tables, whichever way, by all who ever read; of a database with one connection, to which such counts belong."""
    async with database.connection() as connection:
        await connection.execute("SELECT pg_stat_force_next_flush()")
        return (await (await connection.execute(_ROWS_READ, [list(tables)])).fetchall())[0]["rows_read"]
