"""The rankings' truth in PostgreSQL: every counted line once, in positions without gaps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from services.kit.database import Connection, Database
from services.ranking.model import Amounts, Cell, Line, RebuildInProgress

_LINE = "order_id, line_number, sign, category_id, product_id, quantity, currency, net_amount, hour"
_FROM_JSON = """
ROWS FROM (json_to_recordset(%s) AS (
    order_id uuid, line_number int, sign smallint, category_id text, product_id text, quantity bigint, currency text, net_amount bigint,
    hour int
)) WITH ORDINALITY
"""
_ADD = f"""
WITH incoming AS (
    SELECT split_part(category_id, '.', 1) AS root, line.*
    FROM {_FROM_JSON} AS line ({_LINE}, place)
), new AS (
    SELECT DISTINCT ON (order_id, line_number, sign) * FROM incoming i
    WHERE NOT EXISTS (
        SELECT 1 FROM lines l
        WHERE l.generation = %s AND l.order_id = i.order_id AND l.line_number = i.line_number AND l.sign = i.sign)
    ORDER BY order_id, line_number, sign, place
), numbered AS (
    SELECT new.*, roots.position + row_number() OVER (PARTITION BY new.root ORDER BY place) AS position
    FROM new JOIN roots ON roots.generation = %s AND roots.root = new.root
), moved AS (
    UPDATE roots SET position = last.position
    FROM (SELECT root, max(position) AS position FROM numbered GROUP BY root) AS last
    WHERE roots.generation = %s AND roots.root = last.root
), inserted AS (
    INSERT INTO lines (generation, root, position, {_LINE}) SELECT %s, root, position, {_LINE} FROM numbered
)
SELECT place FROM numbered ORDER BY place
"""
_OPEN_VERSIONS = "SELECT live, building FROM generation FOR KEY SHARE"
"""The lock keeps versions from being opened, flipped or dropped until the transaction ends."""

_NEW_ROOTS = """
INSERT INTO roots (generation, root, position)
SELECT generation, root, 0 FROM unnest(%s::bigint[]) AS generation, unnest(%s::text[]) AS root
ORDER BY generation, root ON CONFLICT DO NOTHING
"""
_LOCK_ROOTS = """
SELECT generation, root, position FROM roots WHERE generation = ANY (%s::bigint[]) AND root = ANY (%s::text[])
ORDER BY generation, root FOR NO KEY UPDATE
"""

_SUM = """
SELECT category_id, product_id, currency, sum(sign)::bigint AS orders, sum(sign * quantity)::bigint AS units,
       sum(sign * net_amount)::bigint AS revenue
FROM lines WHERE generation = %(generation)s AND root = %(root)s AND position <= %(upto)s AND hour > %(after)s AND hour <= %(until)s
GROUP BY 1, 2, 3
"""
_BETWEEN = f"SELECT {_LINE} FROM lines WHERE generation = %s AND root = %s AND position > %s AND position <= %s ORDER BY position"
_MISSING = f"""
WITH given AS (SELECT {_LINE} FROM {_FROM_JSON} AS line ({_LINE}, place))
SELECT {_LINE} FROM given EXCEPT
SELECT l.* FROM given g CROSS JOIN LATERAL (
    SELECT {_LINE} FROM lines l
    WHERE l.generation = %s AND l.order_id = g.order_id AND l.line_number = g.line_number AND l.sign = g.sign
) AS l
"""
_OTHERS = f"""
SELECT {_LINE} FROM lines WHERE generation = %s AND order_id > %s AND order_id <= %s AND (%s = '' OR root = %s)
EXCEPT SELECT {_LINE} FROM {_FROM_JSON} AS line ({_LINE}, place)
"""
_ANY_HOUR = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Added:
    """New lines of one root, which took the positions after `before`."""

    generation: int
    is_live: bool
    """Else it is being built, and nobody reads it yet."""
    root: str
    before: int
    lines: list[Line]

    @property
    def after(self) -> int:
        return self.before + len(self.lines)


class RankingStore:
    """The lines."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, lines: Sequence[Line]) -> list[Added]:
        """Adds the lines that aren't there yet, to the live version and the one being built.

        Returns:
            one item for each version and root that the lines belong to, without lines where all were there.
        """
        if not lines:
            return []
        roots = sorted({line.root for line in lines})
        while True:
            async with self._database.transaction() as tx:
                live, building = await _open_versions(tx)
                generations = [live, building] if building else [live]
                before = await _lock(tx, generations, roots)
                if before is not None:
                    return [
                        Added(generation, generation == live, root, before[generation, root], new)
                        for generation in generations
                        for root, new in (await _add(tx, generation, lines)).items()
                    ]
            await self._make_roots(generations, roots)

    async def add_to(self, generation: int, lines: Sequence[Line]) -> None:
        """Adds lines to the version that is being built only.

        Raises:
            RebuildInProgress: another one is being built by now.
        """
        roots = sorted({line.root for line in lines})
        while lines:
            async with self._database.transaction() as tx:
                if (await _open_versions(tx))[1] != generation:
                    raise RebuildInProgress("Another rebuild has taken over.", generation=str(generation))
                if await _lock(tx, [generation], roots) is not None:
                    await _add(tx, generation, lines)
                    return
            await self._make_roots([generation], roots)

    async def positions(self, generation: int) -> dict[str, int]:
        """Every root's last position."""
        async with self._database.connection() as connection:
            rows = await connection.execute("SELECT root, position FROM roots WHERE generation = %s ORDER BY root", [generation])
            return {row["root"]: row["position"] for row in await rows.fetchall()}

    async def lines_between(self, generation: int, root: str, after: int, upto: int) -> list[Line]:
        """The lines at positions after+1 … upto, in order."""
        return await self._lines(_BETWEEN, generation, root, after, upto)

    async def sums(self, generation: int, root: str, *, upto: int, after: int = -1, until: int = _ANY_HOUR) -> dict[Cell, Amounts]:
        """Lines added up by leaf category, product and currency, one by one: a recount.

        Args:
            upto: the last position that counts.
            after: only lines of hours after this one …
            until: … and up to this one.
        """
        async with self._database.connection() as connection:
            values = {"generation": generation, "root": root, "upto": upto, "after": after, "until": until}
            return cells_of(await (await connection.execute(_SUM, values)).fetchall())

    async def missing(self, generation: int, lines: Sequence[Line]) -> list[Line]:
        """Which of the lines aren't there exactly as given."""
        return await self._lines(_MISSING, _json(lines), generation)

    async def others(self, generation: int, lines: Sequence[Line], *, after: str, upto: str, root: str = "") -> list[Line]:
        """Lines of orders with ids after+1 … upto that aren't among the lines given; of one root, or of all."""
        return await self._lines(_OTHERS, generation, after, upto, root, root, _json(lines))

    async def _lines(self, statement: Any, *values: Any) -> list[Line]:
        async with self._database.connection() as connection:
            return [Line(**row) for row in await (await connection.execute(statement, values)).fetchall()]

    async def _make_roots(self, generations: list[int], roots: list[str]) -> None:
        """In a transaction of its own: whoever holds locks on some roots must not wait for those who make others."""
        async with self._database.connection() as connection:
            await connection.execute(_NEW_ROOTS, [generations, roots])


def cells_of(rows: Sequence[dict[str, Any]]) -> dict[Cell, Amounts]:
    """Rows of sums; over whatever hours, so that the cells' hour is 0."""
    return {(row["category_id"], row["product_id"], row["currency"], 0): (row["orders"], row["units"], row["revenue"]) for row in rows}


async def _open_versions(tx: Connection) -> tuple[int, int | None]:
    row = await (await tx.execute(_OPEN_VERSIONS)).fetchone()
    assert row is not None
    return row["live"], row["building"]


async def _lock(tx: Connection, generations: list[int], roots: list[str]) -> dict[tuple[int, str], int] | None:
    """Locks the roots, in one order everywhere; their last positions, or None when some don't exist yet."""
    rows = await (await tx.execute(_LOCK_ROOTS, [generations, roots])).fetchall()
    if len(rows) < len(generations) * len(roots):
        return None
    return {(row["generation"], row["root"]): row["position"] for row in rows}


async def _add(tx: Connection, generation: int, lines: Sequence[Line]) -> dict[str, list[Line]]:
    """Gives the new lines the next positions of their roots, which are locked; returns them by root, in that order."""
    added: dict[str, list[Line]] = {line.root: [] for line in lines}
    for row in await (await tx.execute(_ADD, [_json(lines), generation, generation, generation, generation])).fetchall():
        line = lines[row["place"] - 1]
        added[line.root].append(line)
    return added


def _json(lines: Sequence[Line]) -> str:
    """One argument for all lines: written and read in C at both ends."""
    return orjson.dumps(lines).decode()
