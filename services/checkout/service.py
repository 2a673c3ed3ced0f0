"""The checkout servicer."""

from __future__ import annotations

from datetime import timedelta

import grpc

from bazaar.checkout.v1 import checkout_service_pb2 as pb
from bazaar.checkout.v1 import checkout_service_pb2_grpc
from services.checkout.saga import Neighbours, PlaceOrderSaga
from services.kit.rpc.calls import current, outlive_caller, request_key

_PATIENCE = timedelta(seconds=15)
"""How long a repeat waits for its rival when its caller names no deadline."""

_BUDGET = timedelta(seconds=30)


class CheckoutServicer(checkout_service_pb2_grpc.CheckoutServiceServicer):
    """Turns carts into orders."""

    def __init__(self, neighbours: Neighbours) -> None:
        self._neighbours = neighbours

    async def PlaceOrder(self, request: pb.PlaceOrderRequest, context: grpc.aio.ServicerContext) -> pb.PlaceOrderResponse:
        call = current()
        remaining = call.remaining()
        patience = _PATIENCE.total_seconds() if remaining is None else remaining
        saga = PlaceOrderSaga(self._neighbours, request, call.principal.id, request_key(request))
        # A customer who hangs up in the middle of it has ordered all the same.
        return await outlive_caller(saga.run(patience), _BUDGET + timedelta(seconds=patience))
