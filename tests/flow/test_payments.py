"""Payments as checkout and orders call them."""

from __future__ import annotations

from uuid import uuid4

import pytest

from bazaar.payments.v1 import payments_pb2
from bazaar.payments.v1 import payments_service_pb2 as pb
from bazaar.payments.v1.payments_service_pb2_grpc import PaymentsServiceStub
from bazaar.type.v1.money_pb2 import Money
from tests.serving import Client, refused, user
from tests.shop import ADMIN, Shop

Payment = payments_pb2.Payment


@pytest.fixture
def checkout(shop: Shop) -> Client:
    """Payments, called by checkout for a customer."""
    return shop.stub(PaymentsServiceStub, user(str(uuid4())), caller="checkout")


@pytest.fixture
def orders(shop: Shop) -> Client:
    """Payments, called by orders for itself."""
    return shop.stub(PaymentsServiceStub, caller="orders")


def create(order_id: str, method: Payment.Method.ValueType = Payment.COD, minor_units: int = 1999, currency: str = "INR"):
    amount = Money(currency_code=currency, minor_units=minor_units)
    return pb.CreatePaymentRequest(order_id=order_id, method=method, amount=amount)


async def test_cash_on_delivery_is_accepted(checkout: Client, orders: Client):
    order_id = str(uuid4())

    made = (await checkout.CreatePayment(create(order_id))).payment

    assert (made.order_id, made.method, made.state) == (order_id, Payment.COD, Payment.ACCEPTED)
    assert (made.amount.currency_code, made.amount.minor_units) == ("INR", 1999)
    assert (await orders.GetPayment(pb.GetPaymentRequest(order_id=order_id))).payment == made


async def test_an_order_in_capitals_is_the_same_order(checkout: Client, orders: Client):
    order_id = str(uuid4())
    made = (await checkout.CreatePayment(create(order_id.upper()))).payment

    assert (await checkout.CreatePayment(create(order_id))).payment == made
    assert (await orders.GetPayment(pb.GetPaymentRequest(order_id=order_id.upper()))).payment == made


async def test_what_no_gateway_takes_is_not_taken(checkout: Client, orders: Client):
    order_id = str(uuid4())

    assert list((await checkout.ListMethods(pb.ListMethodsRequest())).methods) == [Payment.COD, Payment.CARD, Payment.UPI]
    assert await refused(checkout.CreatePayment(create(order_id, Payment.NET_BANKING))) == (
        "INVALID_ARGUMENT",
        "PAYMENT_METHOD_UNSUPPORTED",
        {"method": "NET_BANKING"},
    )
    assert (await refused(orders.GetPayment(pb.GetPaymentRequest(order_id=order_id))))[1] == "PAYMENT_NOT_FOUND"


async def test_another_amount_for_the_same_order_is_refused(checkout: Client, orders: Client):
    order_id = str(uuid4())
    made = (await checkout.CreatePayment(create(order_id))).payment

    answer = await refused(checkout.CreatePayment(create(order_id, minor_units=1)))

    assert answer == ("INVALID_ARGUMENT", "PAYMENT_DIFFERS", {"order_id": order_id})
    assert (await orders.GetPayment(pb.GetPaymentRequest(order_id=order_id))).payment == made


async def test_a_void_is_final_even_before_the_payment(checkout: Client, orders: Client):
    order_id = str(uuid4())

    voided = (await orders.VoidPayment(pb.VoidPaymentRequest(order_id=order_id))).payment

    assert (voided.state, voided.method, voided.HasField("amount")) == (Payment.VOIDED, Payment.METHOD_UNSPECIFIED, False)
    assert (await orders.VoidPayment(pb.VoidPaymentRequest(order_id=order_id))).payment == voided
    assert await refused(checkout.CreatePayment(create(order_id))) == (
        "FAILED_PRECONDITION",
        "PAYMENT_STATE_ILLEGAL",
        {"payment_id": voided.payment_id, "state": "VOIDED"},
    )


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (create("no-uuid"), "VALIDATION_FAILED"),
        (create(str(uuid4()), Payment.METHOD_UNSPECIFIED), "VALIDATION_FAILED"),
        (create(str(uuid4()), minor_units=-1), "VALIDATION_FAILED"),
        (create(str(uuid4()), currency="inr"), "VALIDATION_FAILED"),
        (create(str(uuid4()), currency="XXY"), "CURRENCY_UNKNOWN"),
        (pb.CreatePaymentRequest(order_id=str(uuid4()), method=Payment.COD), "VALIDATION_FAILED"),
    ],
)
async def test_what_cannot_be_a_payment_is_refused(checkout: Client, request_: pb.CreatePaymentRequest, reason: str):
    code, found, _ = await refused(checkout.CreatePayment(request_))

    assert (code, found) == ("INVALID_ARGUMENT", reason)


async def test_the_edge_may_not_touch_payments(shop: Shop):
    edge = shop.stub(PaymentsServiceStub, ADMIN)

    assert (await refused(edge.CreatePayment(create(str(uuid4())))))[:2] == ("PERMISSION_DENIED", "METHOD_NOT_GRANTED")
