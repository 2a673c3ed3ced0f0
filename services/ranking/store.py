"""The rankings' truth in PostgreSQL: every counted line once, in positions without gaps, and sums of them by hour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from enum import Enum
from typing import Any, LiteralString

from services.kit.database import Connection, Database
from services.ranking.model import Amounts, Cell, Count, Line, Metric, Query, Window, left_at

_ADD = """
WITH incoming AS (
    SELECT * FROM unnest(%s::text[], %s::uuid[], %s::int[], %s::smallint[], %s::text[], %s::text[], %s::bigint[], %s::text[], %s::bigint[],
                         %s::int[]) WITH ORDINALITY
        AS line (root, order_id, line_number, sign, category_id, product_id, quantity, currency, net_amount, hour, place)
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
)
INSERT INTO lines (generation, root, position, order_id, line_number, sign, category_id, product_id, quantity, currency, net_amount, hour)
SELECT %s, root, position, order_id, line_number, sign, category_id, product_id, quantity, currency, net_amount, hour FROM numbered
RETURNING root, position, order_id, line_number, sign, category_id, product_id, quantity, currency, net_amount, hour
"""
_NEW_ROOTS = (
    "INSERT INTO roots (generation, root, position) SELECT %s, root, 0 FROM unnest(%s::text[]) AS root ORDER BY root ON CONFLICT DO NOTHING"
)
_LOCK_ROOTS = "SELECT root, position FROM roots WHERE generation = %s AND root = ANY (%s::text[]) ORDER BY root FOR UPDATE"

_BELOW = "(category_id = %(category)s OR (category_id >= %(category)s || '.' AND category_id < %(category)s || '/'))"
"""The category and all below it; `/` is the byte after `.`."""

_COUNT = f"""
SELECT product_id, sum(orders)::bigint AS orders, sum(units)::bigint AS units,
       coalesce(sum(revenue) FILTER (WHERE currency = %(currency)s), 0)::bigint AS revenue
FROM (
    SELECT product_id, currency, orders, units, revenue FROM {{sums}}
    WHERE generation = %(generation)s AND root = %(root)s AND {_BELOW} {{in_window}}
    UNION ALL
    SELECT product_id, currency, sign, sign * quantity, sign * net_amount FROM lines
    WHERE generation = %(generation)s AND root = %(root)s AND {_BELOW} {{in_window}} AND position > coalesce(
        (SELECT position FROM rolled WHERE rolled.generation = %(generation)s AND rolled.root = %(root)s), 0)
) AS counted
GROUP BY product_id HAVING sum(orders) > 0
"""
_COUNTED: dict[Window, LiteralString] = {
    Window.ALL: _COUNT.format(sums="totals", in_window=""),
    Window.LAST_24_HOURS: _COUNT.format(sums="hours", in_window="AND hour > %(left)s"),
}
_COLUMN: dict[Metric, LiteralString] = {Metric.ORDERS: "orders", Metric.UNITS: "units", Metric.REVENUE: "revenue"}
_TOP = "SELECT * FROM ({counted}) AS counted WHERE {column} > 0 ORDER BY {column} DESC, units DESC, product_id LIMIT %(limit)s"
_RANK = """
WITH counted AS (SELECT * FROM ({counted}) AS counted WHERE {column} > 0), mine AS (SELECT * FROM counted WHERE product_id = %(product_id)s)
SELECT mine.*, (
    SELECT count(*) FROM counted c
    WHERE (c.{column}, c.units) > (mine.{column}, mine.units)
       OR ((c.{column}, c.units) = (mine.{column}, mine.units) AND c.product_id < mine.product_id)
) AS before FROM mine
"""
_SUM = """
SELECT category_id, product_id, currency, 0 AS hour, sum(sign)::bigint AS orders, sum(sign * quantity)::bigint AS units,
       sum(sign * net_amount)::bigint AS revenue
FROM lines WHERE generation = %(generation)s AND root = %(root)s AND position <= %(upto)s {hours}
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""
_MISSING = """
SELECT i.* FROM unnest(%s::uuid[], %s::int[], %s::smallint[], %s::text[], %s::text[], %s::bigint[], %s::text[], %s::bigint[], %s::int[])
    AS i (order_id, line_number, sign, category_id, product_id, quantity, currency, net_amount, hour)
WHERE NOT EXISTS (
    SELECT 1 FROM lines l
    WHERE l.generation = %s AND l.order_id = i.order_id AND l.line_number = i.line_number AND l.sign = i.sign
      AND (l.category_id, l.product_id, l.quantity, l.currency, l.net_amount, l.hour)
        = (i.category_id, i.product_id, i.quantity, i.currency, i.net_amount, i.hour))
"""
_ROLL = """
WITH span AS (
    SELECT l.* FROM lines l WHERE l.generation = %(generation)s AND l.root = %(root)s AND l.position > %(after)s AND l.position <= %(upto)s
), added AS (
    SELECT category_id, product_id, currency, hour, sum(sign) AS orders, sum(sign * quantity) AS units, sum(sign * net_amount) AS revenue
    FROM span GROUP BY 1, 2, 3, 4
), by_hour AS (
    INSERT INTO hours (generation, root, category_id, product_id, currency, hour, orders, units, revenue)
    SELECT %(generation)s, %(root)s, category_id, product_id, currency, hour, orders, units, revenue FROM added
    ON CONFLICT (generation, root, hour, category_id, product_id, currency) DO UPDATE
    SET orders = hours.orders + excluded.orders, units = hours.units + excluded.units, revenue = hours.revenue + excluded.revenue
)
INSERT INTO totals (generation, root, category_id, product_id, currency, orders, units, revenue)
SELECT %(generation)s, %(root)s, category_id, product_id, currency, sum(orders), sum(units), sum(revenue) FROM added GROUP BY 3, 4, 5
ON CONFLICT (generation, root, category_id, product_id, currency) DO UPDATE
SET orders = totals.orders + excluded.orders, units = totals.units + excluded.units, revenue = totals.revenue + excluded.revenue
"""
_ROLLED_AND_LAST = """
SELECT rolled.position AS rolled, roots.position AS last FROM rolled JOIN roots USING (generation, root)
WHERE generation = %s AND root = %s FOR UPDATE OF rolled
"""


class Hours(Enum):
    """Which lines of a root are added up, by the hour of their placing."""

    ANY = "any"
    AT = "at"
    AFTER = "after"


_SUMS: dict[Hours, LiteralString] = {
    Hours.ANY: _SUM.format(hours=""),
    Hours.AT: _SUM.format(hours="AND hour = %(hour)s"),
    Hours.AFTER: _SUM.format(hours="AND hour > %(hour)s"),
}


@dataclass(frozen=True, slots=True)
class Added:
    """New lines of one root, which took the positions after `before`."""

    generation: int
    root: str
    before: int
    lines: list[Line]

    @property
    def after(self) -> int:
        return self.before + len(self.lines)


class RankingStore:
    """What ranking keeps."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, lines: Sequence[Line]) -> list[Added]:
        """Adds the lines that aren't there yet, to the live version and the one being built.

        Returns:
            one item for each version and root that the lines belong to, without lines where all were there.
        """
        async with self._database.transaction() as tx:
            row = await (await tx.execute("SELECT live, building FROM generation")).fetchone()
            assert row is not None
            generations = [row["live"], *([row["building"]] if row["building"] else [])]
            return [added for generation in generations for added in await _add(tx, generation, lines)]

    async def add_to(self, generation: int, lines: Sequence[Line]) -> list[Added]:
        """Adds lines to one version only, for a rebuild."""
        async with self._database.transaction() as tx:
            return await _add(tx, generation, lines)

    async def positions(self, generation: int) -> dict[str, int]:
        """Every root's last position."""
        async with self._database.connection() as connection:
            rows = await connection.execute("SELECT root, position FROM roots WHERE generation = %s", [generation])
            return {row["root"]: row["position"] for row in await rows.fetchall()}

    async def lines_between(self, generation: int, root: str, after: int, upto: int) -> list[Line]:
        """The lines at positions after+1 … upto, in order."""
        async with self._database.connection() as connection:
            rows = await connection.execute(
                """SELECT order_id, line_number, sign, category_id, product_id, quantity, currency, net_amount, hour FROM lines
                   WHERE generation = %s AND root = %s AND position > %s AND position <= %s ORDER BY position""",
                [generation, root, after, upto],
            )
            return [Line(**row) for row in await rows.fetchall()]

    async def missing(self, generation: int, lines: Sequence[Line]) -> list[Line]:
        """Which of the lines aren't there exactly as given."""
        columns = [[*column] for column in zip(*map(astuple, lines), strict=True)]
        if not columns:
            return []
        async with self._database.connection() as connection:
            rows = await connection.execute(_MISSING, [*columns, generation])
            return [Line(**row) for row in await rows.fetchall()]

    async def sums(self, generation: int, root: str, *, upto: int, of: Hours = Hours.ANY, hour: int = 0) -> dict[Cell, Amounts]:
        """Lines up to a position added up by leaf category, product and currency, in that order; the cells' hour is 0.

        Args:
            of: which of the lines: of any hour, of `hour`, of hours after it.
        """
        async with self._database.connection() as connection:
            values = {"generation": generation, "root": root, "upto": upto, "hour": hour}
            rows = await connection.execute(_SUMS[of], values)
            return {
                (row["category_id"], row["product_id"], row["currency"], row["hour"]): (row["orders"], row["units"], row["revenue"])
                for row in await rows.fetchall()
            }

    async def top(self, generation: int, query: Query, *, hour: int, limit: int) -> list[Count]:
        """The Top N from history: exact, and slower than the projection.

        Args:
            hour: the current one.
        """
        statement = _TOP.format(counted=_COUNTED[query.window], column=_COLUMN[query.metric])
        async with self._database.connection() as connection:
            rows = await connection.execute(statement, {**_values(generation, query, hour), "limit": limit})
            return [Count(**row) for row in await rows.fetchall()]

    async def rank(self, generation: int, query: Query, product_id: str, *, hour: int) -> tuple[int, Count] | None:
        """A product's rank from 1 and its count, from history; None when nobody ordered it."""
        statement = _RANK.format(counted=_COUNTED[query.window], column=_COLUMN[query.metric])
        async with self._database.connection() as connection:
            values = {**_values(generation, query, hour), "product_id": product_id}
            row = await (await connection.execute(statement, values)).fetchone()
        return (row.pop("before") + 1, Count(**row)) if row else None

    async def roll_up(self, generation: int, root: str, limit: int) -> bool:
        """Adds the next lines of a root to its sums by hour; whether there are more."""
        async with self._database.transaction() as tx:
            await tx.execute("INSERT INTO rolled VALUES (%s, %s, 0) ON CONFLICT DO NOTHING", [generation, root])
            at = await (
                await tx.execute("SELECT position FROM rolled WHERE generation = %s AND root = %s FOR UPDATE", [generation, root])
            ).fetchone()
            end = await (await tx.execute("SELECT position FROM roots WHERE generation = %s AND root = %s", [generation, root])).fetchone()
            if at is None or end is None or at["position"] >= end["position"]:
                return False
            upto = min(at["position"] + limit, end["position"])
            await tx.execute(_ROLL, {"generation": generation, "root": root, "after": at["position"], "upto": upto})
            await tx.execute("UPDATE rolled SET position = %s WHERE generation = %s AND root = %s", [upto, generation, root])
            return upto < end["position"]

    async def forget_hours(self, before: int) -> None:
        """Drops sums of hours that no window reads any more."""
        async with self._database.connection() as connection:
            await connection.execute("DELETE FROM hours WHERE hour < %s", [before])


def _values(generation: int, query: Query, hour: int) -> dict[str, Any]:
    return {
        "generation": generation,
        "root": query.root,
        "category": query.category,
        "currency": query.currency,
        "left": left_at(hour),
    }


async def _add(tx: Connection, generation: int, lines: Sequence[Line]) -> list[Added]:
    roots = sorted({line.root for line in lines})
    before = await _lock(tx, generation, roots)
    columns = [[line.root for line in lines], *([*column] for column in zip(*map(astuple, lines), strict=True))]
    rows = await (await tx.execute(_ADD, [*columns, generation, generation, generation, generation])).fetchall()
    found: dict[str, list[tuple[int, Line]]] = {root: [] for root in roots}
    for row in rows:
        found[row.pop("root")].append((row.pop("position"), Line(**row)))
    return [Added(generation, root, before[root], [line for _, line in sorted(new, key=_position)]) for root, new in found.items()]


def _position(item: tuple[int, Line]) -> int:
    return item[0]


async def _lock(tx: Connection, generation: int, roots: list[str]) -> dict[str, int]:
    """Locks the roots in the order of their names; makes those that are new."""
    locked = {row["root"]: row["position"] for row in await (await tx.execute(_LOCK_ROOTS, [generation, roots])).fetchall()}
    if len(locked) < len(roots):
        await tx.execute(_NEW_ROOTS, [generation, roots])
        return await _lock(tx, generation, roots)
    return locked
