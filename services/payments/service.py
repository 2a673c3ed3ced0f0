"""The gRPC face of payments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc

from bazaar.payments.v1 import payments_service_pb2 as pb
from bazaar.payments.v1.payments_service_pb2_grpc import PaymentsServiceServicer
from services.kit.ids import uuid7
from services.kit.money import Money
from services.kit.rpc import calls
from services.kit.telemetry import tracing
from services.payments import wire
from services.payments.clearing import Clearing
from services.payments.decisions import Create, Report, Void, checked, decide
from services.payments.gateway import Gateway, GatewayNotFound
from services.payments.model import Method, Payment, PaymentNotFound, State, next_step
from services.payments.store import PaymentStore

_GATEWAY_SECONDS = 2.0
"""How long a caller waits for a gateway; what it hasn't said by then is asked for later."""

_BESIDE_SECONDS = 10.0


class PaymentsServicer(PaymentsServiceServicer):
    """Takes cash on delivery, and what the gateways take.

    Args:
        gateways: asked in this order; the first that takes a method gets it.
    """

    def __init__(self, payments: PaymentStore, gateways: Sequence[Gateway], clearing: Clearing) -> None:
        self._payments = payments
        self._gateways = gateways
        self._clearing = clearing

    async def CreatePayment(self, request: pb.CreatePaymentRequest, context: object) -> pb.CreatePaymentResponse:
        amount, method = Money(request.amount.currency_code, request.amount.minor_units), wire.method(request.method)
        create = Create(_traced(request.order_id), uuid7(), method, amount, self._gateway_of(method))
        payment = await self._payments.submit(checked(create, self._methods()), calls.current().deadline)
        if payment.state is State.PENDING and not payment.link:
            payment = await self._clearing.driven(payment, _GATEWAY_SECONDS)
        return pb.CreatePaymentResponse(payment=wire.payment(payment))

    async def GetPayment(self, request: pb.GetPaymentRequest, context: object) -> pb.GetPaymentResponse:
        payment = await self._payments.get(_traced(request.order_id))
        if payment.state in (State.PENDING, State.AUTHORIZED):
            payment = await self._clearing.driven(payment, _GATEWAY_SECONDS)
        return pb.GetPaymentResponse(payment=wire.payment(payment))

    async def VoidPayment(self, request: pb.VoidPaymentRequest, context: object) -> pb.VoidPaymentResponse:
        payment = await self._payments.submit(Void(_traced(request.order_id), uuid7()), calls.current().deadline)
        self._go_on(payment)
        return pb.VoidPaymentResponse(payment=wire.payment(payment))

    async def ReceiveWebhook(
        self, request: pb.ReceiveWebhookRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.ReceiveWebhookResponse:
        gateway = next((gateway for gateway in self._gateways if gateway.name == request.gateway), None)
        if gateway is None:
            raise GatewayNotFound(request.gateway)
        headers = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
        notice = gateway.read_webhook(headers, request.body.data)
        known = await self._payments.find(notice.payment_id)
        if known.gateway != gateway.name:
            # No gateway's word counts for another one's payment.
            raise PaymentNotFound(payment_id=notice.payment_id)
        report = Report(_traced(known.order_id), notice)
        if decide(report, known, known.updated_at) is known:
            # A repeat, or old news: what is committed says more, and no state that can follow makes it news. (But for a refund, which is
            # made when the payment is REFUNDING already; told of before, it is asked for again.)
            return pb.ReceiveWebhookResponse()
        payment = await self._payments.submit(report, calls.current().deadline)
        if payment.version > known.version:
            self._go_on(payment)
        return pb.ReceiveWebhookResponse()

    async def ListMethods(self, request: pb.ListMethodsRequest, context: object) -> pb.ListMethodsResponse:
        return pb.ListMethodsResponse(methods=map(wire.method_value, self._methods()))

    def _methods(self) -> list[Method]:
        return list(dict.fromkeys([Method.COD, *(method for gateway in self._gateways for method in sorted(gateway.methods))]))

    def _gateway_of(self, method: Method) -> str:
        return next((gateway.name for gateway in self._gateways if method in gateway.methods), "")

    def _go_on(self, payment: Payment) -> None:
        """Begins the next step without making the caller wait for it."""
        if next_step(payment):
            calls.beside(self._clearing.driven(payment, _BESIDE_SECONDS))


def _traced(order_id: str) -> str:
    """The order's id as it is stored; marks the call's span as this order's."""
    tracing.current().set_attribute(tracing.ORDER_ID, order_id.lower())
    return order_id.lower()
