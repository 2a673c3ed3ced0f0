"""What changes of stock read: their own rows, however many others there are, and whenever their statements were planned."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from services.kit.database import Database
from tests.stock import Inventory
from tests.unit.reading import rows_read

_MANY_BALANCES = "INSERT INTO balances (sku, warehouse_id, on_hand) SELECT 'sku-' || n, 'main', 1 FROM generate_series(1, 1000) AS n"
_MANY_HOLDS = """
INSERT INTO holds (sku, expires_at, warehouse_id, order_id, quantity)
SELECT 'tv', (SELECT expires_at FROM holds LIMIT 1), 'main', gen_random_uuid(), 1 FROM generate_series(1, 2000)
"""


@pytest.fixture
async def alone(shelf: Inventory) -> AsyncIterator[Inventory]:
    """The same over one connection."""
    database = Database(shelf.database.url, max_connections=1)
    await database.open()
    yield Inventory(database)
    await database.close()


async def test_a_reservation_reads_its_own_balances(shelf: Inventory, alone: Inventory):
    await shelf.execute(_MANY_BALANCES)
    await shelf.receive("tv", 5)
    await shelf.execute("VACUUM ANALYZE balances")
    before = await rows_read(alone.database, "balances")

    await alone.reserve("tv")

    assert await rows_read(alone.database, "balances") - before < 50


async def test_a_commit_reads_its_own_holds(shelf: Inventory, alone: Inventory):
    await shelf.receive("tv", 5)
    await shelf.execute("VACUUM ANALYZE holds")
    await alone.commit((await alone.reserve("tv")).order_id)  # planned while there were none
    held = await alone.reserve("tv")
    await shelf.execute(_MANY_HOLDS)
    before = await rows_read(alone.database, "holds")

    await alone.commit(held.order_id)

    assert await rows_read(alone.database, "holds") - before < 50
    assert len(await shelf.rows("SELECT FROM holds")) == 2000
