"""What payments publishes: topic `payments`, key order_id."""

from __future__ import annotations

from bazaar.payments.v1 import events_pb2 as pb
from bazaar.payments.v1 import payments_pb2
from services.kit.events.port import Event, Topic
from services.kit.outbox import event
from services.payments import wire
from services.payments.model import Payment, State

PAYMENTS = Topic("payments")


def told(payment: Payment) -> Event:
    """The event of a payment that was just opened or voided."""
    message = _voided(payment) if payment.state is State.VOIDED else _initiated(payment)
    return event(
        topic=PAYMENTS.name,
        key=payment.order_id,
        subject=payment.payment_id,
        aggregate_version=payment.version,
        message=message,
        occurred_at=payment.updated_at,
    )


def _initiated(payment: Payment) -> pb.PaymentEvent:
    return pb.PaymentEvent(
        payment_initiated=pb.PaymentInitiated(
            payment_id=payment.payment_id,
            order_id=payment.order_id,
            method=wire.method_value(payment.method),
            state=payments_pb2.Payment.State.Value(payment.state),
            amount=wire.money(payment.amount),
        )
    )


def _voided(payment: Payment) -> pb.PaymentEvent:
    return pb.PaymentEvent(payment_voided=pb.PaymentVoided(payment_id=payment.payment_id, order_id=payment.order_id))
