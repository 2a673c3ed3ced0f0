from __future__ import annotations

from typing import Any

import pytest

from bazaar.payments.v1 import payments_pb2, payments_service_pb2
from services.checkout.methods import KEPT_SECONDS, TakenMethods
from services.checkout.model import MethodUnsupported
from tests.clock import Clock

Method = payments_pb2.Payment.Method


class Payments:
    """Says which methods it takes, and counts how often it was asked."""

    def __init__(self, *methods: Method) -> None:
        self.methods = methods
        self.asked = 0

    async def ListMethods(self, request: payments_service_pb2.ListMethodsRequest) -> payments_service_pb2.ListMethodsResponse:
        self.asked += 1
        return payments_service_pb2.ListMethodsResponse(methods=self.methods)


def taken_by(payments: Payments, clock: Clock) -> TakenMethods:
    stub: Any = payments
    return TakenMethods(stub, monotonic=clock)


async def test_what_is_taken_is_asked_for_once_a_minute():
    payments, clock = Payments(Method.COD), Clock()
    methods = taken_by(payments, clock)

    await methods.check(Method.COD)
    clock.seconds += KEPT_SECONDS - 1
    await methods.check(Method.COD)
    asked_within_the_minute = payments.asked
    clock.seconds += 1
    await methods.check(Method.COD)

    assert (asked_within_the_minute, payments.asked) == (1, 2)


async def test_what_was_not_taken_is_asked_for_again():
    payments, clock = Payments(Method.COD), Clock()
    methods = taken_by(payments, clock)
    with pytest.raises(MethodUnsupported):
        await methods.check(Method.UPI)

    payments.methods = (Method.COD, Method.UPI)
    await methods.check(Method.UPI)

    assert payments.asked == 2


async def test_what_is_given_up_is_refused_a_minute_later():
    payments, clock = Payments(Method.COD, Method.UPI), Clock()
    methods = taken_by(payments, clock)
    await methods.check(Method.UPI)

    payments.methods = (Method.COD,)
    clock.seconds += KEPT_SECONDS

    with pytest.raises(MethodUnsupported, match="UPI"):
        await methods.check(Method.UPI)
