"""The checkout servicer."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import grpc

from bazaar.checkout.v1 import checkout_service_pb2 as pb
from bazaar.checkout.v1 import checkout_service_pb2_grpc
from services.checkout.saga import Neighbours, PlaceOrderSaga
from services.kit.errors import DeadlineExceeded, Overloaded
from services.kit.rpc.calls import current, outlive_caller, request_key, within

_PATIENCE = timedelta(seconds=15)
"""How long a repeat waits for its rival when its caller names no deadline."""

_BUDGET = timedelta(seconds=30)
_AT_ONCE = 48
"""Orders that one process places at the same time. More would all become slower, until none is submitted within its budget."""


class CheckoutServicer(checkout_service_pb2_grpc.CheckoutServiceServicer):
    """Turns carts into orders."""

    def __init__(self, neighbours: Neighbours) -> None:
        self._neighbours = neighbours
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def PlaceOrder(self, request: pb.PlaceOrderRequest, context: grpc.aio.ServicerContext) -> pb.PlaceOrderResponse:
        call = current()
        remaining = call.remaining()
        patience = (_PATIENCE.total_seconds() if remaining is None else remaining) / 2
        await self._turn(patience)
        saga = PlaceOrderSaga(self._neighbours, request, call.principal.id, request_key(request))
        # A customer who hangs up in the middle of it has ordered all the same.
        return await outlive_caller(self._placed(saga, patience), _BUDGET + timedelta(seconds=patience))

    async def _turn(self, patience: float) -> None:
        """Waits in line.

        Raises:
            Overloaded: it would take longer than `patience` seconds.
        """
        try:
            await within(patience, self._turns.acquire())
        except DeadlineExceeded:
            raise Overloaded("Too many orders are being placed.", retry_after=timedelta(seconds=1), queue="checkout") from None

    async def _placed(self, saga: PlaceOrderSaga, patience: float) -> pb.PlaceOrderResponse:
        try:
            return await saga.run(patience)
        finally:
            self._turns.release()
