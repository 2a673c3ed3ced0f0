"""Money for orders: one payment an order."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

from bazaar.payments.v1.payments_service_pb2_grpc import add_PaymentsServiceServicer_to_server
from services.kit.leader import Lease
from services.kit.service import Parts, Service, ServiceKit
from services.kit.timers import Timer
from services.payments.clearing import Clearing
from services.payments.events import PAYMENTS
from services.payments.gateways import connect
from services.payments.service import PaymentsServicer
from services.payments.store import PaymentStore

__all__ = ["SERVICE"]

_CLEAR_EVERY = timedelta(seconds=1)


def build(kit: ServiceKit) -> Parts:
    """Wires the rooms of payments."""
    payments, gateways = PaymentStore(kit.database, kit.clock), connect(kit.settings.gateways, kit.secrets)
    clearing = Clearing(payments, {gateway.name: gateway for gateway in gateways})

    async def clear(lease: Lease) -> None:
        lease.check()
        while await clearing.clear():
            lease.check()

    async def gateways_open() -> None:
        """Until the process ends."""
        try:
            await asyncio.Event().wait()
        finally:
            for gateway in gateways:
                await gateway.close()

    return Parts(
        servicers=[(add_PaymentsServiceServicer_to_server, PaymentsServicer(payments, gateways, clearing))],
        topics=[PAYMENTS],
        background=[gateways_open],
        timers=[Timer("clear payments", _CLEAR_EVERY, clear)],
    )


SERVICE = Service("payments", build, Path(__file__).parent / "migrations")
