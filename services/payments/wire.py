"""Between protobuf and the model."""

from __future__ import annotations

from bazaar.payments.v1 import payments_pb2 as pb
from bazaar.type.v1.money_pb2 import Money as MoneyMessage
from services.kit.money import Money
from services.payments.model import Method, Payment, State


def payment(of: Payment) -> pb.Payment:
    message = pb.Payment(
        payment_id=of.payment_id,
        order_id=of.order_id,
        method=method_value(of.method),
        state=pb.Payment.State.Value(of.state),
        amount=money(of.amount),
        gateway=of.gateway,
        payment_link=of.link if of.state is State.PENDING else "",
        failure_reason=of.failure_reason,
        version=of.version,
    )
    message.create_time.FromDatetime(of.created_at)
    message.update_time.FromDatetime(of.updated_at)
    return message


def method_value(of: Method | None) -> pb.Payment.Method.ValueType:
    return pb.Payment.Method.Value(of) if of else pb.Payment.METHOD_UNSPECIFIED


def method(of: pb.Payment.Method.ValueType) -> Method:
    return Method(pb.Payment.Method.Name(of))


def money(of: Money | None) -> MoneyMessage | None:
    return MoneyMessage(currency_code=of.currency, minor_units=of.minor_units) if of else None
