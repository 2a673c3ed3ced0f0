"""The servicer with a gateway, which the shop has none of yet."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from bazaar.payments.v1 import payments_pb2, payments_service_pb2
from bazaar.type.v1.money_pb2 import Money
from services.kit.auth import Principal
from services.kit.clock import system_clock
from services.kit.database import Database
from services.kit.rpc import calls
from services.payments.model import Method, Payment
from services.payments.service import PaymentsServicer
from services.payments.store import PaymentStore


class Notebook:
    """A gateway that notes what it is told."""

    methods = frozenset({Method.UPI})

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    async def initiate(self, payment: Payment) -> None:
        self.told.append(("initiate", payment.payment_id))

    async def void(self, payment: Payment) -> None:
        self.told.append(("void", payment.payment_id))


@pytest.fixture
def gateway() -> Notebook:
    return Notebook()


@pytest.fixture
def servicer(database: Database, gateway: Notebook) -> Any:
    calls.enter(calls.Call("/bazaar.payments.v1.PaymentsService/Any", "checkout", Principal("service", "checkout", frozenset())))
    return PaymentsServicer(PaymentStore(database, system_clock), [gateway])


def create(order_id: str, method: payments_pb2.Payment.Method.ValueType) -> payments_service_pb2.CreatePaymentRequest:
    amount = Money(currency_code="INR", minor_units=1)
    return payments_service_pb2.CreatePaymentRequest(order_id=order_id, method=method, amount=amount)


async def test_a_gateways_methods_are_listed_after_cash(servicer: Any):
    answer = await servicer.ListMethods(payments_service_pb2.ListMethodsRequest(), None)

    assert list(answer.methods) == [payments_pb2.Payment.COD, payments_pb2.Payment.UPI]


async def test_a_gateway_is_told_of_what_it_is_to_collect_and_to_give_up(servicer: Any, gateway: Notebook):
    order_id = str(uuid4())

    made = (await servicer.CreatePayment(create(order_id, payments_pb2.Payment.UPI), None)).payment
    await servicer.VoidPayment(payments_service_pb2.VoidPaymentRequest(order_id=order_id), None)

    assert made.state == payments_pb2.Payment.PENDING
    assert gateway.told == [("initiate", made.payment_id), ("void", made.payment_id)]


async def test_no_gateway_hears_of_cash(servicer: Any, gateway: Notebook):
    order_id = str(uuid4())

    await servicer.CreatePayment(create(order_id, payments_pb2.Payment.COD), None)
    await servicer.VoidPayment(payments_service_pb2.VoidPaymentRequest(order_id=order_id), None)

    assert gateway.told == []
