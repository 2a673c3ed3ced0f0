"""The prices, tax and shipping tables in PostgreSQL."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import astuple
from datetime import datetime
from typing import Any, LiteralString

from services.kit import outbox
from services.kit.batching import Coalescer
from services.kit.database import Connection, Database
from services.kit.events.port import Event
from services.pricing.events import price_changed
from services.pricing.model import Price, Rates, ShippingRate, TaxRate

RATES_KEPT_SECONDS = 1.0

_LOCK = """
SELECT sku, currency, minor_units FROM prices WHERE (sku, currency) IN (SELECT * FROM unnest(%s::text[], %s::text[]))
ORDER BY sku, currency FOR NO KEY UPDATE
"""
_SET_PRICES = """
INSERT INTO prices (sku, currency, minor_units, updated_at)
SELECT sku, currency, minor_units, %s
FROM unnest(%s::text[], %s::text[], %s::bigint[]) WITH ORDINALITY AS given (sku, currency, minor_units, place)
ORDER BY sku, place
ON CONFLICT (sku, currency) DO UPDATE SET minor_units = excluded.minor_units, updated_at = excluded.updated_at,
    version = prices.version + (prices.minor_units <> excluded.minor_units)::int
RETURNING sku, currency, minor_units, version
"""
_PRICES = "SELECT sku, currency, minor_units, updated_at FROM prices WHERE sku = ANY (%s) ORDER BY sku, id"
_TAX_RATES = "SELECT country, state, tax_class, basis_points FROM tax_rates ORDER BY country, state, tax_class"
_SHIPPING_RATES = "SELECT country, currency, base, per_kilogram, free_from FROM shipping_rates ORDER BY country, currency"
_SET_TAX_RATE = """
INSERT INTO tax_rates (country, state, tax_class, basis_points) VALUES (%s, %s, %s, %s)
ON CONFLICT (country, state, tax_class) DO UPDATE SET basis_points = excluded.basis_points
"""
_SET_SHIPPING_RATE = """
INSERT INTO shipping_rates (country, currency, base, per_kilogram, free_from) VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (country, currency) DO UPDATE
SET base = excluded.base, per_kilogram = excluded.per_kilogram, free_from = excluded.free_from
"""


class PriceStore:
    """Raises, from every method: Unavailable: PostgreSQL is away."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._looks = Coalescer[Sequence[str], list[tuple[Price, datetime]]]("prices", self._find)

    async def set_prices(self, prices: Sequence[Price], now: datetime) -> None:
        """Sets all of the prices or none; where a SKU comes twice in one currency the last one holds. Those that differ are told of."""
        last = {(price.sku, price.currency): price for price in prices}.values()
        columns = [[price.sku for price in last], [price.currency for price in last], [price.minor_units for price in last]]

        async def write(tx: Connection) -> None:
            locked, written = await tx.execute_all((_LOCK, columns[:2]), (_SET_PRICES, [now, *columns]))
            before = {(row["sku"], row["currency"]): Price(**row) for row in await locked.fetchall()}
            outbox.append(tx, list(_changes(before, await written.fetchall(), now)))

        await self._database.run(write)

    async def prices(self, skus: Sequence[str]) -> list[tuple[Price, datetime]]:
        """The prices of SKUs in every currency, with the time they were set; of one SKU in the order in which its currencies were set.

        They are read with those that others want just now.
        """
        return await self._looks.submit(skus)

    async def _find(self, wanted: Sequence[Sequence[str]]) -> list[list[tuple[Price, datetime]]]:
        # PostgreSQL's text has no NUL, and refuses to be asked for it.
        skus = {sku for some in wanted for sku in some if "\0" not in sku}
        async with self._database.connection() as connection:
            rows = (await connection.execute(_PRICES, [sorted(skus)])).tuples()
        found: defaultdict[str, list[tuple[Price, datetime]]] = defaultdict(list)
        for sku, currency, minor_units, updated_at in rows:
            found[sku].append((Price(sku, currency, minor_units), updated_at))
        return [[price for sku in sorted(set(some)) for price in found.get(sku, ())] for some in wanted]


def _changes(before: Mapping[tuple[str, str], Price], written: Sequence[dict[str, Any]], now: datetime) -> Iterator[Event]:
    for row in written:
        price, previous = Price(row["sku"], row["currency"], row["minor_units"]), before.get((row["sku"], row["currency"]))
        if price != previous:
            yield price_changed(price, previous, row["version"], now)


class RateStore:
    """The tax and shipping tables, which are small and read for every quote: kept in memory for a second.

    Raises, from every method: Unavailable: PostgreSQL is away.
    """

    def __init__(self, database: Database, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._monotonic = monotonic
        self._lock = asyncio.Lock()
        self._rates: Rates | None = None
        self._read_at = 0.0

    async def rates(self) -> Rates:
        """Both tables as they were at most a second ago."""
        if rates := self._fresh():
            return rates
        async with self._lock:
            if rates := self._fresh():
                return rates
            asked_at = self._monotonic()
            self._rates = rates = Rates.of(await self.tax_rates(), await self.shipping_rates())
            self._read_at = asked_at
            return rates

    async def tax_rates(self) -> list[TaxRate]:
        return [TaxRate(**row) for row in await self._rows(_TAX_RATES)]

    async def shipping_rates(self) -> list[ShippingRate]:
        return [ShippingRate(**row) for row in await self._rows(_SHIPPING_RATES)]

    async def set_tax_rate(self, rate: TaxRate) -> None:
        await self._set(_SET_TAX_RATE, rate)

    async def set_shipping_rate(self, rate: ShippingRate) -> None:
        await self._set(_SET_SHIPPING_RATE, rate)

    def _fresh(self) -> Rates | None:
        return self._rates if self._monotonic() - self._read_at < RATES_KEPT_SECONDS else None

    async def _set(self, statement: LiteralString, rate: TaxRate | ShippingRate) -> None:
        async with self._database.connection() as connection:
            await connection.execute(statement, astuple(rate))
        self._rates = None

    async def _rows(self, statement: LiteralString) -> list[dict[str, Any]]:
        async with self._database.connection() as connection:
            return await (await connection.execute(statement)).fetchall()
