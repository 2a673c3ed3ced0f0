"""The rankings as history tells them: sums of lines by hour and over all time, and the lines that aren't in them yet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, LiteralString

from services.kit.database import Database
from services.kit.values import value
from services.ranking.model import MINUTES_IN_HOUR, Amounts, Cell, Count, Lefts, Metric, Query, Window
from services.ranking.store import MINUTE, cells_of

_BELOW = "(category_id = %(category)s OR (category_id >= %(category)s || '.' AND category_id < %(category)s || '/'))"
"""The category and all below it; `/` is the byte after `.`."""

_LINES_ONLY = """
SELECT category_id, product_id, currency, sign AS orders, sign * quantity AS units, sign * net_amount AS revenue FROM lines
WHERE generation = %(generation)s AND root = %(root)s
"""
_UNROLLED = """
AND position > coalesce((SELECT position FROM rolled WHERE generation = %(generation)s AND root = %(root)s), 0)
"""
"""Few lines, found by their positions: + 0 keeps the planner from reading a whole window's by the index of minutes."""

_SUMS = "SELECT category_id, product_id, currency, orders, units, revenue FROM {} WHERE generation = %(generation)s AND root = %(root)s"
_IN_TIME = f"AND {MINUTE} > %(left)s"


def _counted(window: Window, below: LiteralString = "") -> LiteralString:
    """What counts in a window, as rows that are to be added up.

    Sums by minute would be nearly as many as the lines, so a window of minutes is counted from these alone.
    """
    if not window.buckets:
        return f"{_SUMS.format('totals')} {below} UNION ALL {_LINES_ONLY} {below} {_UNROLLED}"
    if window.bucket_minutes % MINUTES_IN_HOUR:
        return f"{_LINES_ONLY} {below} {_IN_TIME}"
    hours = f"{_SUMS.format('hours')} {below} AND hour > %(left)s / 60"
    return f"{hours} UNION ALL {_LINES_ONLY} {below} {_UNROLLED} AND {MINUTE} + 0 > %(left)s"


_COUNT: dict[Window, LiteralString] = {
    window: f"""
SELECT product_id, sum(orders)::bigint AS orders, sum(units)::bigint AS units,
       coalesce(sum(revenue) FILTER (WHERE currency = %(currency)s), 0)::bigint AS revenue
FROM ({_counted(window, f"AND {_BELOW}")}) AS counted GROUP BY product_id
"""
    for window in Window
}
_SUM_UP: dict[Window, LiteralString] = {
    window: f"""
SELECT category_id, product_id, currency, sum(orders)::bigint AS orders, sum(units)::bigint AS units, sum(revenue)::bigint AS revenue
FROM ({_counted(window)}) AS counted GROUP BY 1, 2, 3
"""
    for window in Window
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


@value
class Snapshot:
    """A root's sums at one moment, by leaf category, product and currency."""

    position: int
    """The last line in them."""
    sums: Mapping[Window, dict[Cell, Amounts]]


class HistoryStore:
    """Slower than the boards, and as exact at any moment: sums and the lines after them are read in one snapshot."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def top(self, generation: int, query: Query, *, minute: int, limit: int) -> list[Count]:
        """The Top N.

        Args:
            minute: the current one.
        """
        statement = _TOP.format(counted=_COUNT[query.window], column=_COLUMN[query.metric])
        async with self._database.connection() as connection:
            rows = await connection.execute(statement, {**_values(generation, query, minute), "limit": limit})
            return [Count(**row) for row in await rows.fetchall()]

    async def rank(self, generation: int, query: Query, product_id: str, *, minute: int) -> tuple[int, Count] | None:
        """A product's rank from 1 and its count; None when it isn't ranked."""
        statement = _RANK.format(counted=_COUNT[query.window], column=_COLUMN[query.metric])
        async with self._database.connection() as connection:
            values = {**_values(generation, query, minute), "product_id": product_id}
            row = await (await connection.execute(statement, values)).fetchone()
        return (row.pop("before") + 1, Count(**row)) if row else None

    async def snapshot(self, generation: int, root: str, lefts: Lefts) -> Snapshot | None:
        """A root's sums over every window; None when there is no such root."""
        values = {"generation": generation, "root": root}
        async with self._database.transaction() as tx:
            await tx.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            at = await (await tx.execute("SELECT position FROM roots WHERE generation = %s AND root = %s", [generation, root])).fetchone()
            sums = {
                window: cells_of(await (await tx.execute(_SUM_UP[window], {**values, "left": lefts.get(window, -1)})).fetchall())
                for window in Window
            }
        return Snapshot(at["position"], sums) if at else None

    async def roll_up(self, generation: int, root: str, limit: int) -> bool:
        """Adds the next lines of a root to its sums; whether there are more."""
        key = [generation, root]
        async with self._database.transaction() as tx:
            # The lock lets lines be added meanwhile, but not the version be dropped.
            end = await (await tx.execute("SELECT position FROM roots WHERE generation = %s AND root = %s FOR KEY SHARE", key)).fetchone()
            if end is None:
                return False
            await tx.execute("INSERT INTO rolled VALUES (%s, %s, 0) ON CONFLICT DO NOTHING", key)
            at = await (await tx.execute("SELECT position FROM rolled WHERE generation = %s AND root = %s FOR UPDATE", key)).fetchone()
            if at is None or at["position"] >= end["position"]:
                return False
            upto = min(at["position"] + limit, end["position"])
            await tx.execute(_ROLL, {"generation": generation, "root": root, "after": at["position"], "upto": upto})
            await tx.execute("UPDATE rolled SET position = %s WHERE generation = %s AND root = %s", [upto, *key])
            return upto < end["position"]

    async def forget_hours(self, before: int) -> None:
        """Drops sums of hours that no window reads any more."""
        async with self._database.connection() as connection:
            await connection.execute(
                "DELETE FROM hours USING roots WHERE (hours.generation, hours.root) = (roots.generation, roots.root) AND hour < %s",
                [before],
            )


def _values(generation: int, query: Query, minute: int) -> dict[str, Any]:
    return {
        "generation": generation,
        "root": query.root,
        "category": query.category,
        "currency": query.currency,
        "left": query.window.left_at(minute),
    }
