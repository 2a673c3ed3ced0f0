"""What chaos tests do to a shop, and look for behind its counter."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import psycopg

from tests.chaos.conftest import Victim
from tests.chaos.stops import Side
from tests.shop import Customer, Shop


async def die(victim: Victim, step: str, side: Side, attempt: Coroutine[Any, Any, Any]) -> None:
    """Makes the attempt until its process dies there, and its caller loses the connection."""
    stop = victim.stops.die_at(step, side)
    task = asyncio.create_task(attempt)
    async with asyncio.timeout(20):
        await stop.reached.wait()
    task.cancel()
    await asyncio.wait([task])


async def expire_claims(shop: Shop, buyer: Customer) -> None:
    await shop.execute("orders", "UPDATE orders SET claimed_until = now() - interval '1 second' WHERE user_id = %s", buyer.principal.id)


async def let_time_pass(shop: Shop, buyer: Customer) -> None:
    await shop.execute(
        "orders", "UPDATE orders SET due_at = now() - interval '1 second' WHERE user_id = %s AND due_at > now()", buyer.principal.id
    )


async def states(shop: Shop, buyer: Customer) -> list[str]:
    """Of all orders of a customer, hidden ones too, the oldest first."""
    found = await shop.execute("orders", "SELECT state FROM orders WHERE user_id = %s ORDER BY order_id", buyer.principal.id)
    return [state for (state,) in found]


async def order_id_of(shop: Shop, buyer: Customer) -> str:
    """A customer's only order, whatever its state."""
    ((order_id,),) = await shop.execute("orders", "SELECT order_id::text FROM orders WHERE user_id = %s", buyer.principal.id)
    return order_id


async def payment_of(shop: Shop, order_id: str) -> str:
    ((state,),) = await shop.execute("payments", "SELECT state FROM payments WHERE order_id = %s", order_id)
    return state


@asynccontextmanager
async def bus_away(shop: Shop) -> AsyncIterator[None]:
    """Nothing can be published or consumed."""
    async with await psycopg.AsyncConnection.connect(shop.servers.events) as connection:
        await connection.execute("LOCK TABLE partitions IN ACCESS EXCLUSIVE MODE")
        yield
        await connection.rollback()
