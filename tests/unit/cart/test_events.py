"""What an order takes out of a cart, on a real PostgreSQL."""

from collections.abc import Mapping

from bazaar.orders.v1 import events_pb2, orders_pb2
from services.cart.events import drop_what_was_ordered
from services.cart.store import CartStore
from services.kit import outbox
from services.kit.database import Database
from services.kit.events.port import Event
from services.kit.ids import uuid7
from tests.unit.cart.filling import LATER, LOCK_CART, add, quantities
from tests.unit.reading import rows_read
from tests.unit.rivals import meet

_FILL_ANOTHER = """
INSERT INTO cart_items (cart_id, sku, product_id, title, quantity) SELECT %s, 'sku-' || n, 'p', 'P', 1 FROM generate_series(1, 5000) AS n
"""


def placed(cart_id: str, lines: Mapping[str, int]) -> Event:
    counted = [orders_pb2.CountedLine(sku=sku, quantity=quantity, product_id="p") for sku, quantity in lines.items()]
    order_id = uuid7()
    message = events_pb2.OrderEvent(order_placed=events_pb2.OrderPlaced(order_id=order_id, cart_id=cart_id, lines=counted))
    return outbox.event(topic="orders", key=order_id, subject=order_id, aggregate_version=3, message=message)


async def deliver(carts: CartStore, *events: Event) -> None:
    await drop_what_was_ordered(carts, lambda: LATER).handle(events)


async def test_an_order_takes_its_lines_out_of_its_cart(carts: CartStore):
    user_id = uuid7()
    cart_id = await add(carts, user_id, "tv", 2)
    await add(carts, user_id, "pen", 5)

    await deliver(carts, placed(cart_id, {"tv": 2, "pen": 3}))

    assert (await quantities(carts, user_id), await carts.count(user_id, "")) == ({"pen": 2}, 2)


async def test_an_order_delivered_again_takes_nothing_more(carts: CartStore):
    user_id = uuid7()
    cart_id = await add(carts, user_id, "tv", 5)
    event = placed(cart_id, {"tv": 2})

    for _ in range(2):
        await deliver(carts, event)
    await deliver(carts, event, event)

    assert await quantities(carts, user_id) == {"tv": 3}


async def test_what_was_planned_for_few_items_does_not_go_through_many(cart_url: str):
    database = Database(cart_url, max_connections=1)  # Plans, and what is counted, belong to a connection.
    await database.open()
    carts = CartStore(database)
    cart_id = await add(carts, uuid7(), "tv", 5)
    async with database.connection() as connection:
        await connection.execute("DELETE FROM cart_items WHERE cart_id <> %s", [cart_id])
        await connection.execute("VACUUM ANALYZE cart_items")
    await deliver(carts, placed(cart_id, {"tv": 1}))
    other_cart_id = await add(carts, uuid7())
    async with database.connection() as connection:
        await connection.execute(_FILL_ANOTHER, [other_cart_id])
    before = await rows_read(database, "carts", "cart_items")

    await deliver(carts, placed(cart_id, {"tv": 4}))

    assert await rows_read(database, "carts", "cart_items") - before < 100
    await database.close()


async def test_orders_of_several_carts_are_worked_off_together(carts: CartStore):
    users = [uuid7(), uuid7()]
    ids = [await add(carts, user_id, "tv", 5) for user_id in users]

    await deliver(carts, placed(ids[0], {"tv": 1}), placed(ids[1], {"tv": 5}), placed(ids[0], {"tv": 1}))

    assert [await quantities(carts, user_id) for user_id in users] == [{"tv": 3}, {}]
    assert [(await carts.find(user_id, "")).currency for user_id in users] == ["INR", ""]


async def test_an_order_that_names_no_cart_or_one_that_is_gone_changes_nothing(carts: CartStore):
    user_id = uuid7()
    await add(carts, user_id, "tv", 5)

    await deliver(carts, placed("", {"tv": 1}), placed(uuid7(), {"tv": 1}))

    assert await quantities(carts, user_id) == {"tv": 5}


async def test_events_other_than_a_placed_order_change_nothing(carts: CartStore):
    message = events_pb2.OrderEvent(order_created=events_pb2.OrderCreated(order_id="o1"))
    created = outbox.event(topic="orders", key="o1", subject="o1", aggregate_version=2, message=message)

    await deliver(carts, created)


async def test_an_add_and_an_order_at_once_both_count(database: Database, carts: CartStore):
    user_id = uuid7()
    cart_id = await add(carts, user_id, "tv", 2)

    await meet(database, LOCK_CART, [cart_id], add(carts, user_id, "tv", 1), deliver(carts, placed(cart_id, {"tv": 2})))

    assert await quantities(carts, user_id) == {"tv": 1}
