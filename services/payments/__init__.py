"""Money for orders: one payment an order."""

from __future__ import annotations

from pathlib import Path

from bazaar.payments.v1.payments_service_pb2_grpc import add_PaymentsServiceServicer_to_server
from services.kit.service import Parts, Service, ServiceKit
from services.payments.events import PAYMENTS
from services.payments.service import PaymentsServicer
from services.payments.store import PaymentStore

__all__ = ["SERVICE"]


def build(kit: ServiceKit) -> Parts:
    servicer = PaymentsServicer(PaymentStore(kit.database, kit.clock), gateways=())
    return Parts(servicers=[(add_PaymentsServiceServicer_to_server, servicer)], topics=[PAYMENTS])


SERVICE = Service("payments", build, Path(__file__).parent / "migrations")
