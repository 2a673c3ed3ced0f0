"""Which payment methods the shop takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from bazaar.payments.v1 import payments_pb2, payments_service_pb2
from services.checkout.model import MethodUnsupported

if TYPE_CHECKING:
    from bazaar.payments.v1.payments_service_pb2_grpc import PaymentsServiceAsyncStub

KEPT_SECONDS = 60.0


class TakenMethods:
    """The payment methods that payments takes, asked for once a minute.

    What it doesn't take it is asked again, so that a new method is taken at once. One that it has given up meanwhile it refuses itself,
    and the order is undone.
    """

    def __init__(self, payments: PaymentsServiceAsyncStub, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._payments = payments
        self._monotonic = monotonic
        self._taken: frozenset[payments_pb2.Payment.Method.ValueType] = frozenset()
        self._asked_at = 0.0

    async def check(self, method: payments_pb2.Payment.Method.ValueType) -> None:
        """Lets a method pass.

        Raises:
            MethodUnsupported: the shop doesn't take it.
            AioRpcError: payments can't be asked.
        """
        if method not in self._taken or self._monotonic() - self._asked_at >= KEPT_SECONDS:
            asked_at = self._monotonic()
            answer = await self._payments.ListMethods(payments_service_pb2.ListMethodsRequest())
            self._taken, self._asked_at = frozenset(answer.methods), asked_at
        if method not in self._taken:
            name = payments_pb2.Payment.Method.Name(method)
            raise MethodUnsupported(f"The shop doesn't take {name} now.", method=name)
