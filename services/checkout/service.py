"""The checkout servicer."""

from __future__ import annotations

from datetime import timedelta

import grpc

from bazaar.checkout.v1 import checkout_service_pb2 as pb
from bazaar.checkout.v1 import checkout_service_pb2_grpc
from bazaar.orders.v1 import orders_pb2, orders_service_pb2
from bazaar.payments.v1 import payments_pb2, payments_service_pb2
from services.checkout.cohorts import Cohort, Gate
from services.checkout.methods import TakenMethods
from services.checkout.model import GatewayAway, NothingToPay
from services.checkout.saga import Neighbours, PlaceOrderSaga
from services.kit.errors import DeadlineExceeded, Overloaded
from services.kit.rpc.calls import current, outlive_caller, request_key, within
from services.kit.rpc.status import reason_of

_PATIENCE = timedelta(seconds=15)
"""How long a repeat waits for its rival when its caller names no deadline."""

_BUDGET = timedelta(seconds=30)
_LINK_AGAIN = timedelta(seconds=5)
_STATE = orders_pb2.Order.State


class CheckoutServicer(checkout_service_pb2_grpc.CheckoutServiceServicer):
    """Turns carts into orders."""

    def __init__(self, neighbours: Neighbours) -> None:
        self._neighbours = neighbours
        self._methods = TakenMethods(neighbours.payments)
        self._gate = Gate()

    async def PlaceOrder(self, request: pb.PlaceOrderRequest, context: grpc.aio.ServicerContext) -> pb.PlaceOrderResponse:
        call = current()
        remaining = call.remaining()
        patience = (_PATIENCE.total_seconds() if remaining is None else remaining) / 2
        saga = PlaceOrderSaga(self._neighbours, self._methods, request, call.principal.id, request_key(request))
        cohort = await self._let_in(patience)
        # A customer who hangs up in the middle of it has ordered all the same.
        return await outlive_caller(self._placed(saga, patience, cohort), _BUDGET + timedelta(seconds=patience))

    async def GetPaymentLink(self, request: pb.GetPaymentLinkRequest, context: grpc.aio.ServicerContext) -> pb.GetPaymentLinkResponse:
        found = await self._neighbours.orders.GetOrder(orders_service_pb2.GetOrderRequest(order_id=request.order_id))
        if found.order.state != orders_pb2.Order.PAYMENT_PENDING:
            raise NothingToPay("The order doesn't wait for money.", order_id=request.order_id, state=_STATE.Name(found.order.state))
        payment = await self._payment_of(request.order_id)
        if payment is None or (payment.state == payments_pb2.Payment.PENDING and not payment.payment_link):
            raise GatewayAway("There is no payment link yet.", retry_after=_LINK_AGAIN, gateway=payment.gateway if payment else "")
        if payment.state != payments_pb2.Payment.PENDING:
            state = payments_pb2.Payment.State.Name(payment.state)
            raise NothingToPay("The payment doesn't wait for the customer.", order_id=request.order_id, state=state)
        return pb.GetPaymentLinkResponse(payment_link=payment.payment_link)

    async def _payment_of(self, order_id: str) -> payments_pb2.Payment | None:
        """An order's payment; None while it is not yet made."""
        try:
            return (await self._neighbours.payments.GetPayment(payments_service_pb2.GetPaymentRequest(order_id=order_id))).payment
        except grpc.aio.AioRpcError as error:
            if reason_of(error) != "PAYMENT_NOT_FOUND":
                raise
            return None

    async def _let_in(self, patience: float) -> Cohort:
        """Waits in line.

        Raises:
            Overloaded: it would take longer than `patience` seconds.
        """
        try:
            return await within(patience, self._gate.enter())
        except DeadlineExceeded:
            raise Overloaded("Too many orders are being placed.", retry_after=timedelta(seconds=1), queue="checkout") from None

    async def _placed(self, saga: PlaceOrderSaga, patience: float, cohort: Cohort) -> pb.PlaceOrderResponse:
        try:
            return await saga.run(patience)
        finally:
            cohort.leave()
