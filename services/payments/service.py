"""The gRPC face of payments."""

from __future__ import annotations

from collections.abc import Sequence

from bazaar.payments.v1 import payments_service_pb2 as pb
from bazaar.payments.v1.payments_service_pb2_grpc import PaymentsServiceServicer
from services.kit.ids import uuid7
from services.kit.money import Money
from services.kit.rpc import calls
from services.kit.telemetry import tracing
from services.payments import wire
from services.payments.gateway import Gateway
from services.payments.model import Create, Method, Payment, State, Void, checked
from services.payments.store import PaymentStore


class PaymentsServicer(PaymentsServiceServicer):
    """Takes cash on delivery, and what the gateways take.

    Args:
        gateways: asked in this order; the first that takes a method gets it.
    """

    def __init__(self, payments: PaymentStore, gateways: Sequence[Gateway]) -> None:
        self._payments = payments
        self._gateways = gateways

    async def CreatePayment(self, request: pb.CreatePaymentRequest, context: object) -> pb.CreatePaymentResponse:
        amount = Money(request.amount.currency_code, request.amount.minor_units)
        create = Create(_traced(request.order_id), uuid7(), wire.method(request.method), amount)
        payment = await self._payments.submit(checked(create, self._methods()), calls.current().deadline)
        if payment.state is State.PENDING and (gateway := self._gateway_of(payment)):
            await gateway.initiate(payment)
        return pb.CreatePaymentResponse(payment=wire.payment(payment))

    async def GetPayment(self, request: pb.GetPaymentRequest, context: object) -> pb.GetPaymentResponse:
        return pb.GetPaymentResponse(payment=wire.payment(await self._payments.get(_traced(request.order_id))))

    async def VoidPayment(self, request: pb.VoidPaymentRequest, context: object) -> pb.VoidPaymentResponse:
        payment = await self._payments.submit(Void(_traced(request.order_id), uuid7()), calls.current().deadline)
        if gateway := self._gateway_of(payment):
            await gateway.void(payment)
        return pb.VoidPaymentResponse(payment=wire.payment(payment))

    async def ListMethods(self, request: pb.ListMethodsRequest, context: object) -> pb.ListMethodsResponse:
        return pb.ListMethodsResponse(methods=map(wire.method_value, self._methods()))

    def _methods(self) -> list[Method]:
        return [Method.COD, *(method for gateway in self._gateways for method in gateway.methods)]

    def _gateway_of(self, payment: Payment) -> Gateway | None:
        return next((gateway for gateway in self._gateways if payment.method in gateway.methods), None)


def _traced(order_id: str) -> str:
    """The order's id as it is stored; marks the call's span as this order's."""
    tracing.current().set_attribute(tracing.ORDER_ID, order_id.lower())
    return order_id.lower()
