"""What payments publishes: topic `payments`, key order_id."""

from __future__ import annotations

from bazaar.payments.v1 import events_pb2 as pb
from bazaar.payments.v1 import payments_pb2
from services.kit.events.port import Event, Topic
from services.kit.outbox import event
from services.payments import wire
from services.payments.model import Payment, State

PAYMENTS = Topic("payments", payload=pb.PaymentEvent.DESCRIPTOR)


def told(payment: Payment) -> Event:
    """The event of the state that a payment has just come into."""
    return event(
        topic=PAYMENTS.name,
        key=payment.order_id,
        subject=payment.payment_id,
        aggregate_version=payment.version,
        message=_change(payment),
        occurred_at=payment.updated_at,
    )


def _change(payment: Payment) -> pb.PaymentEvent:
    ids = {"payment_id": payment.payment_id, "order_id": payment.order_id}
    amount = wire.money(payment.amount)
    match payment.state:
        case State.PENDING | State.ACCEPTED:
            method, state = wire.method_value(payment.method), payments_pb2.Payment.State.Value(payment.state)
            return pb.PaymentEvent(payment_initiated=pb.PaymentInitiated(**ids, method=method, state=state, amount=amount))
        case State.AUTHORIZED:
            return pb.PaymentEvent(payment_authorized=pb.PaymentAuthorized(**ids))
        case State.CAPTURED:
            return pb.PaymentEvent(payment_captured=pb.PaymentCaptured(**ids, amount=amount))
        case State.FAILED:
            return pb.PaymentEvent(payment_failed=pb.PaymentFailed(**ids, reason=payment.failure_reason))
        case State.VOIDED:
            return pb.PaymentEvent(payment_voided=pb.PaymentVoided(**ids))
        case State.REFUNDING:
            return pb.PaymentEvent(payment_refunding=pb.PaymentRefunding(**ids, amount=amount))
        case State.REFUNDED:
            return pb.PaymentEvent(payment_refunded=pb.PaymentRefunded(**ids, amount=amount))
