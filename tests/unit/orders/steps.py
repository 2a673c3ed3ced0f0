"""What happens to orders in tests of their stores, step by step, and what is told of it."""

from __future__ import annotations

from services.kit.database import Database
from services.orders.model import Order, State, cancelled, cancelling, confirmed, submitted
from services.orders.requests import RequestStore
from services.orders.store import OrderStore
from tests.unit.orders.sample import UNKEYED, USER, content, rows


async def new(requests: RequestStore, user_id: str = USER) -> Order:
    return (await requests.open(user_id, UNKEYED)).order


async def submit(store: OrderStore, order: Order, *lines) -> Order:
    bought = content(*lines)
    return await store.change(order.order_id, lambda of, now: submitted(of, bought, version=order.version, at=now))


async def confirm(store: OrderStore, order: Order) -> Order:
    return await store.change(order.order_id, lambda of, now: confirmed(of, "ACCEPTED", at=now))


async def note_cancel(store: OrderStore, order: Order, reason: str = "CUSTOMER") -> Order:
    return await store.change(order.order_id, lambda of, now: cancelling(of, reason, at=now))


async def end(store: OrderStore, order: Order) -> Order:
    return await store.change(order.order_id, lambda of, now: cancelled(of, at=now))


async def placed(requests: RequestStore, store: OrderStore, user_id: str = USER) -> Order:
    return await confirm(store, await submit(store, await new(requests, user_id)))


async def told(database: Database, topic: str = "orders") -> list[tuple[str, str, int]]:
    """Events that wait to be published: type, key, version."""
    found = await rows(database, "SELECT type, key, aggregate_version FROM outbox WHERE topic = %s ORDER BY id", topic)
    return [(kind.rpartition(".")[2], key, version) for kind, key, version in found]


async def one_came_first(store: OrderStore, order: Order, confirmation: object) -> bool:
    """Whether a pending order that was confirmed and cancelled at once went one of the two legal ways, as its confirmation says."""
    now = await store.read(order.order_id)
    ways = ([State.CONFIRMED, State.CANCELLING], [State.CANCELLING])
    way = [entry.state for entry in now.timeline][2:]
    return now.state is State.CANCELLING and now.was_placed is isinstance(confirmation, Order) and way in ways
