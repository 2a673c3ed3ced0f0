"""The orders servicer: proto in, rules and store, proto out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import grpc

from bazaar.orders.v1 import orders_pb2, orders_service_pb2_grpc
from bazaar.orders.v1 import orders_service_pb2 as pb
from bazaar.payments.v1 import payments_pb2
from services.kit.paging import PageTokens
from services.kit.rpc import streams
from services.kit.rpc.calls import current, outlive_caller
from services.kit.telemetry import tracing
from services.orders.content import Placed
from services.orders.model import BY_CUSTOMER, BY_STAFF, FINAL, Order, Request, readable_by, submitted
from services.orders.requests import RequestStore
from services.orders.settlement import Settlement
from services.orders.store import OrderStore
from services.orders.watch import Watchers
from services.orders.wire import content_of, counted_lines, to_proto

_SETTLEMENT_BUDGET = timedelta(seconds=15)
_STAFF = {"support", "admin"}
_PAGE = 20
_LOG_PAGE = 500
_LOOK_AGAIN_SECONDS = 15.0
"""A watcher looks by itself now and then, should a wake-up be lost with its bus connection."""


class OrdersServicer(orders_service_pb2_grpc.OrdersServiceServicer):
    """Keeps orders."""

    def __init__(self, requests: RequestStore, store: OrderStore, settlement: Settlement, watchers: Watchers, pages: PageTokens) -> None:
        self._requests = requests
        self._store = store
        self._settlement = settlement
        self._watchers = watchers
        self._pages = pages

    async def OpenOrder(self, request: pb.OpenOrderRequest, context: grpc.aio.ServicerContext) -> pb.OpenOrderResponse:
        attempt = Request(request.principal, request.method, request.request_id, request.fingerprint)
        opened = await self._requests.open(request.user_id, attempt, current().deadline)
        tracing.current().set_attribute(tracing.ORDER_ID, opened.order.order_id)
        if opened.is_holder:
            self._store.remember(opened.order)
        return pb.OpenOrderResponse(order=to_proto(opened.order), is_holder=opened.is_holder)

    async def SubmitOrder(self, request: pb.SubmitOrderRequest, context: grpc.aio.ServicerContext) -> pb.SubmitOrderResponse:
        content = content_of(request)
        order = await self._store.change(
            _traced(request.order_id), lambda order, now: submitted(order, content, version=request.version, at=now), current().deadline
        )
        return pb.SubmitOrderResponse(order=to_proto(order))

    async def AbandonOrder(self, request: pb.AbandonOrderRequest, context: grpc.aio.ServicerContext) -> pb.AbandonOrderResponse:
        abandoning = self._settlement.cancel(_traced(request.order_id), reason=request.reason, version=request.version)
        await outlive_caller(abandoning, _SETTLEMENT_BUDGET)
        return pb.AbandonOrderResponse()

    async def AwaitPayment(self, request: pb.AwaitPaymentRequest, context: grpc.aio.ServicerContext) -> pb.AwaitPaymentResponse:
        return pb.AwaitPaymentResponse(order=to_proto(await self._settlement.await_payment(_traced(request.order_id))))

    async def ConfirmOrder(self, request: pb.ConfirmOrderRequest, context: grpc.aio.ServicerContext) -> pb.ConfirmOrderResponse:
        paid = payments_pb2.Payment.State.Name(request.payment_state)
        order = await outlive_caller(self._settlement.confirm(_traced(request.order_id), paid), _SETTLEMENT_BUDGET)
        return pb.ConfirmOrderResponse(order=to_proto(order))

    async def CancelOrder(self, request: pb.CancelOrderRequest, context: grpc.aio.ServicerContext) -> pb.CancelOrderResponse:
        order = await self._readable(_traced(request.order_id))
        reason = BY_CUSTOMER if order.user_id == current().principal.id else BY_STAFF
        order = await outlive_caller(self._settlement.cancel(order.order_id, reason=reason), _SETTLEMENT_BUDGET)
        return pb.CancelOrderResponse(order=to_proto(order))

    async def GetOrder(self, request: pb.GetOrderRequest, context: grpc.aio.ServicerContext) -> pb.GetOrderResponse:
        return pb.GetOrderResponse(order=to_proto(await self._readable(_traced(request.order_id))))

    async def ListOrders(self, request: pb.ListOrdersRequest, context: grpc.aio.ServicerContext) -> pb.ListOrdersResponse:
        user_id, size = current().principal.id, request.page_size or _PAGE
        query = f"orders:{user_id}"
        before = str(self._pages.decode(query, request.page_token)[0]) if request.page_token else None
        orders = await self._store.of_user(user_id, before=before, limit=size + 1)
        page, has_more = orders[:size], len(orders) > size
        token = self._pages.encode(query, [page[-1].order_id]) if has_more else ""
        return pb.ListOrdersResponse(orders=[to_proto(order) for order in page], next_page_token=token)

    async def WatchOrder(self, request: pb.WatchOrderRequest, context: grpc.aio.ServicerContext) -> AsyncIterator[pb.WatchOrderResponse]:
        sent = max(request.after_version, int(request.last_event_id or 0))
        with self._watchers.watch(request.order_id) as changed:
            while True:
                changed.clear()
                order = await self._readable(request.order_id)
                is_last = order.state in FINAL
                event_id = str(order.version)
                if order.version > sent:
                    yield pb.WatchOrderResponse(order=to_proto(order), is_last=is_last, event_id=event_id)
                    sent = order.version
                elif is_last:
                    yield pb.WatchOrderResponse(is_last=True, event_id=event_id)
                if is_last:
                    return
                await streams.begin(context)
                await _set_or_time_out(changed)

    async def StreamOrderLines(
        self, request: pb.StreamOrderLinesRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[pb.StreamOrderLinesResponse]:
        cursor = str(self._pages.decode("order-lines", request.cursor)[0]) if request.cursor else None
        while orders := await self._store.placed_after(cursor, _LOG_PAGE):
            cursor = orders[-1].order_id
            lines = [line for order in orders for line in _counted(order)]
            yield pb.StreamOrderLinesResponse(lines=lines, cursor=self._pages.encode("order-lines", [cursor]))

    async def _readable(self, order_id: str) -> Order:
        principal = current().principal
        order = await self._store.read(order_id)
        return readable_by(order, user_id=principal.id, is_staff=not _STAFF.isdisjoint(principal.roles))


def _traced(order_id: str) -> str:
    """The order's id as it is stored; marks the call's span as this order's."""
    tracing.current().set_attribute(tracing.ORDER_ID, order_id.lower())
    return order_id.lower()


def _counted(order: Placed) -> list[orders_pb2.CountedLine]:
    lines = counted_lines(order, +1, order.lines)
    return lines + counted_lines(order, -1, order.lines) if order.is_cancelled else lines


async def _set_or_time_out(changed: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(_LOOK_AGAIN_SECONDS):
            await changed.wait()
    except TimeoutError:
        return
