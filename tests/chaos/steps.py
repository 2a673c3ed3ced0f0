"""What chaos tests do to a shop, and look for behind its counter."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import psycopg

from tests.bus import books_of
from tests.chaos.conftest import Victim
from tests.chaos.stops import Side, Stop
from tests.shop import Customer, Shop


async def reached(stop: Stop) -> None:
    """Waits until an attempt has come there."""
    async with asyncio.timeout(20):
        await stop.reached.wait()


async def die(victim: Victim, step: str, side: Side, attempt: Coroutine[Any, Any, Any]) -> None:
    """Makes the attempt until its process dies there, and its caller loses the connection."""
    stop = victim.stops.die_at(step, side)
    task = asyncio.create_task(attempt)
    await reached(stop)
    task.cancel()
    await asyncio.wait([task])


async def expire_claims(shop: Shop, buyer: Customer) -> None:
    await shop.execute("orders", "UPDATE orders SET claimed_until = now() - interval '1 second' WHERE user_id = %s", buyer.principal.id)


async def let_time_pass(shop: Shop, buyer: Customer) -> None:
    await shop.execute(
        "orders", "UPDATE orders SET due_at = now() - interval '1 second' WHERE user_id = %s AND due_at > now()", buyer.principal.id
    )


async def is_there(shop: Shop, buyer: Customer) -> bool:
    """Whether a customer has an order, hidden ones too."""
    return bool(await states(shop, buyer))


async def states(shop: Shop, buyer: Customer) -> list[str]:
    """Of all orders of a customer, hidden ones too, the oldest first."""
    found = await shop.execute("orders", "SELECT state FROM orders WHERE user_id = %s ORDER BY order_id", buyer.principal.id)
    return [state for (state,) in found]


async def order_id_of(shop: Shop, buyer: Customer) -> str:
    """A customer's only order, whatever its state."""
    ((order_id,),) = await shop.execute("orders", "SELECT order_id::text FROM orders WHERE user_id = %s", buyer.principal.id)
    return order_id


@asynccontextmanager
async def bus_away(shop: Shop) -> AsyncIterator[None]:
    """Nothing can be published or consumed."""
    if broker := shop.servers.broker:
        broker.freeze()
        try:
            yield
        finally:
            broker.thaw()
        return
    async with await psycopg.AsyncConnection.connect(shop.servers.events) as connection:
        await connection.execute("LOCK TABLE partitions IN ACCESS EXCLUSIVE MODE")
        yield
        await connection.rollback()


async def expire_reservation(shop: Shop, order_id: str) -> None:
    """In its row and its holds together, as the clock would."""
    both = """WITH expired AS (UPDATE reservations SET expires_at = now() - interval '1 second' WHERE order_id = %s)
              UPDATE holds SET expires_at = now() - interval '1 second' WHERE order_id = %s"""
    await shop.execute("inventory", both, order_id, order_id)


async def payment_of(shop: Shop, order_id: str) -> str:
    ((state,),) = await shop.execute("payments", "SELECT state FROM payments WHERE order_id = %s", order_id)
    return state


async def told(shop: Shop, order_id: str) -> list[str]:
    """The events of an order that are on the bus, in order."""
    events = await books_of(shop.servers.events).told("orders")
    return [event.type.rpartition(".")[2] for event in events if event.subject == order_id]
