"""The rankings' truth in PostgreSQL: every counted line once, in positions without gaps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, LiteralString

from services.kit.database import Connection, Database
from services.kit.values import value
from services.ranking.model import Amounts, Cell, Line, RebuildInProgress

_TYPES = "%s::uuid[], %s::int[], %s::smallint[], %s::text[], %s::text[], %s::bigint[], %s::text[], %s::bigint[], %s::int[]"
_STORED = "order_id, line_number, sign, category_id, product_id, quantity, currency, net_amount"
MINUTE: LiteralString = "coalesce(minute, hour * 60)"
"""When a line's order was placed; lines written before minutes were kept count from the start of their hour."""

_LINE = f"{_STORED}, {MINUTE} AS minute"
_GIVEN = f"""
unnest(
    {_TYPES}
) AS line ({_STORED}, minute)
"""
# Looked up one by one: whatever the planner believes of how many lines are given, it must not read all that there are.
_REPEATS = """
SELECT place FROM unnest(%s::uuid[], %s::int[], %s::smallint[]) WITH ORDINALITY AS line (order_id, line_number, sign, place)
CROSS JOIN LATERAL (
    SELECT 1 FROM lines l
    WHERE l.generation = %s AND l.order_id = line.order_id AND l.line_number = line.line_number AND l.sign = line.sign LIMIT 1
) AS there
"""
_INSERT = f"""
INSERT INTO lines (generation, root, position, {_STORED}, minute, hour)
SELECT %s, *, minute / 60 FROM unnest(
    %s::text[], %s::bigint[], {_TYPES}
) AS line (root, position, {_STORED}, minute)
"""
_MOVE = """
UPDATE roots SET position = moved.position FROM unnest(%s::text[], %s::bigint[]) AS moved (root, position)
WHERE generation = %s AND roots.root = moved.root
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

_SUM = f"""
SELECT category_id, product_id, currency, sum(sign)::bigint AS orders, sum(sign * quantity)::bigint AS units,
       sum(sign * net_amount)::bigint AS revenue
FROM lines
WHERE generation = %(generation)s AND root = %(root)s AND position <= %(upto)s AND {MINUTE} > %(after)s AND {MINUTE} <= %(until)s
GROUP BY 1, 2, 3
"""
_BETWEEN = f"SELECT {_LINE} FROM lines WHERE generation = %s AND root = %s AND position > %s AND position <= %s ORDER BY position"
_SAME = """
(l.order_id, l.line_number, l.sign, l.category_id, l.product_id, l.quantity, l.currency, l.net_amount) =
(line.order_id, line.line_number, line.sign, line.category_id, line.product_id, line.quantity, line.currency, line.net_amount)
AND (l.minute = line.minute OR (l.minute IS NULL AND l.hour = line.minute / 60))
"""
_MISSING = f"""
SELECT line.* FROM {_GIVEN}
LEFT JOIN LATERAL (SELECT true AS is_there FROM lines l WHERE l.generation = %s AND {_SAME} LIMIT 1) AS found ON true
WHERE is_there IS NULL
"""
_OTHERS = f"""
SELECT {_LINE} FROM lines l
WHERE generation = %s AND order_id > %s AND order_id <= %s AND (%s = '' OR root = %s)
AND NOT EXISTS (SELECT 1 FROM {_GIVEN} WHERE {_SAME})
"""
_ANY_MINUTE = 2**31 - 1


@value
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
        lines = _each_once(lines)
        roots = sorted({line.root for line in lines})
        while lines:
            async with self._database.transaction() as tx:
                live, building = await _open_versions(tx)
                generations = [live, building] if building else [live]
                if (added := await _add(tx, generations, roots, lines)) is not None:
                    return [Added(generation, generation == live, root, *at) for (generation, root), at in added.items()]
            await self._make_roots(generations, roots)
        return []

    async def add_to(self, generation: int, lines: Sequence[Line]) -> None:
        """Adds lines to the version that is being built only.

        Raises:
            RebuildInProgress: another one is being built by now.
        """
        lines = _each_once(lines)
        roots = sorted({line.root for line in lines})
        while lines:
            async with self._database.transaction() as tx:
                if (await _open_versions(tx))[1] != generation:
                    raise RebuildInProgress("Another rebuild has taken over.", generation=str(generation))
                if await _add(tx, [generation], roots, lines) is not None:
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

    async def sums(self, generation: int, root: str, *, upto: int, after: int = -1, until: int = _ANY_MINUTE) -> dict[Cell, Amounts]:
        """Lines added up by leaf category, product and currency, one by one: a recount.

        Args:
            upto: the last position that counts.
            after: only lines of minutes after this one …
            until: … and up to this one.
        """
        async with self._database.connection() as connection:
            values = {"generation": generation, "root": root, "upto": upto, "after": after, "until": until}
            return cells_of(await (await connection.execute(_SUM, values)).fetchall())

    async def missing(self, generation: int, lines: Sequence[Line]) -> list[Line]:
        """Which of the lines aren't there exactly as given."""
        return await self._lines(_MISSING, *_columns(lines), generation)

    async def others(self, generation: int, lines: Sequence[Line], *, after: str, upto: str, root: str = "") -> list[Line]:
        """Lines of orders with ids after+1 … upto that aren't among the lines given; of one root, or of all."""
        return await self._lines(_OTHERS, generation, after, upto, root, root, *_columns(lines))

    async def _lines(self, statement: Any, *values: Any) -> list[Line]:
        async with self._database.connection() as connection:
            return [Line(*row) for row in (await connection.execute(statement, values)).tuples()]

    async def _make_roots(self, generations: list[int], roots: list[str]) -> None:
        """In a transaction of its own: whoever holds locks on some roots must not wait for those who make others."""
        async with self._database.connection() as connection:
            await connection.execute(_NEW_ROOTS, [generations, roots])


def cells_of(rows: Sequence[dict[str, Any]]) -> dict[Cell, Amounts]:
    """Rows of sums; over whatever time, so that the cells' minute is 0."""
    return {(row["category_id"], row["product_id"], row["currency"], 0): (row["orders"], row["units"], row["revenue"]) for row in rows}


async def _open_versions(tx: Connection) -> tuple[int, int | None]:
    row = await (await tx.execute(_OPEN_VERSIONS)).fetchone()
    assert row is not None
    return row["live"], row["building"]


async def _add(
    tx: Connection, generations: Sequence[int], roots: list[str], lines: Sequence[Line]
) -> dict[tuple[int, str], tuple[int, list[Line]]] | None:
    """Gives the new lines the next positions of their roots.

    Roots are locked in one order everywhere, and repeats looked for after that, so that rivals share neither positions nor lines.

    Returns:
        by version and root the last position before, and the new lines in order; None when a root doesn't exist yet.
    """
    columns = _columns(lines)
    looks: list[tuple[LiteralString, list[Any]]] = [(_REPEATS, [*columns[:3], generation]) for generation in generations]
    locked, *repeats = await tx.execute_all((_LOCK_ROOTS, [list(generations), roots]), *looks)
    before = {(row["generation"], row["root"]): row["position"] for row in await locked.fetchall()}
    if len(before) < len(generations) * len(roots):
        return None
    added: dict[tuple[int, str], tuple[int, list[Line]]] = {key: (position, []) for key, position in before.items()}
    for generation, found in zip(generations, repeats, strict=True):
        there = {place for (place,) in found.tuples()}
        new = [line for place, line in enumerate(lines, start=1) if place not in there] if there else lines
        _insert(tx, generation, new, added)
    return added


def _insert(tx: Connection, generation: int, lines: Sequence[Line], added: dict[tuple[int, str], tuple[int, list[Line]]]) -> None:
    """Goes with the COMMIT; notes the lines in `added`."""
    roots, positions = [line.root for line in lines], list[int]()
    for root, line in zip(roots, lines, strict=True):
        before, items = added[generation, root]
        items.append(line)
        positions.append(before + len(items))
    if lines:
        last = dict(zip(roots, positions, strict=True))
        tx.defer(_INSERT, [generation, roots, positions, *_columns(lines)])
        tx.defer(_MOVE, [list(last), list(last.values()), generation])


def _each_once(lines: Sequence[Line]) -> list[Line]:
    first: dict[tuple[str, int, int], Line] = {}
    for line in lines:
        first.setdefault(line[:3], line)
    return list(first.values())


def _columns(lines: Sequence[Line]) -> list[list[Any]]:
    """The lines' fields, a list each, as `unnest` takes them."""
    return [list(column) for column in zip(*lines, strict=True)] or [[] for _ in Line._fields]
