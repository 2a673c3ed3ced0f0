"""Orders: from the first hidden row to the last state."""

from datetime import timedelta
from pathlib import Path

from bazaar.inventory.v1.inventory_service_pb2_grpc import InventoryServiceStub
from bazaar.orders.v1.orders_service_pb2_grpc import add_OrdersServiceServicer_to_server
from bazaar.payments.v1.payments_service_pb2_grpc import PaymentsServiceStub
from services.kit.events.port import Delivery, Subscription
from services.kit.leader import Lease
from services.kit.paging import PageTokens
from services.kit.service import Parts, Service, ServiceKit
from services.kit.timers import Timer
from services.orders.events import ORDER_LINES, ORDERS, announcements
from services.orders.payments import settle_what_is_paid
from services.orders.requests import RequestStore
from services.orders.service import OrdersServicer
from services.orders.settlement import Settlement
from services.orders.store import OrderStore
from services.orders.watch import Watchers


def build(kit: ServiceKit) -> Parts:
    """Wires the rooms of orders."""
    requests, store, watchers = RequestStore(kit.database), OrderStore(kit.database, announcements), Watchers()
    settlement = Settlement(store, InventoryServiceStub(kit.channel("inventory")), PaymentsServiceStub(kit.channel("payments")))

    async def reap(lease: Lease) -> None:
        await settlement.reap()

    async def forget(lease: Lease) -> None:
        await requests.forget()

    servicer = OrdersServicer(requests, store, settlement, watchers, PageTokens(kit.secrets))
    return Parts(
        servicers=[(add_OrdersServiceServicer_to_server, servicer)],
        topics=[ORDERS, ORDER_LINES],
        subscriptions=[
            Subscription(ORDERS.name, "watch-order", watchers.notify, Delivery.BROADCAST, is_heard=watchers.are_there),
            settle_what_is_paid(store, settlement),
        ],
        timers=[
            Timer("reap overdue orders", timedelta(seconds=1), reap),
            Timer("forget old requests", timedelta(minutes=10), forget),
        ],
    )


SERVICE = Service("orders", build, Path(__file__).parent / "migrations")
