"""Payments as their neighbours call them, with what their leader does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from google.api.httpbody_pb2 import HttpBody

from bazaar.payments.v1 import payments_pb2
from bazaar.payments.v1 import payments_service_pb2 as pb
from bazaar.type.v1.money_pb2 import Money
from services.kit.auth import Principal
from services.kit.database import Database
from services.kit.rpc import calls
from services.kit.secrets import Secrets
from services.payments.clearing import Clearing
from tests.sandbox import Door, SandboxClient
from tests.shop import eventually

UPI, CARD, COD = payments_pb2.Payment.UPI, payments_pb2.Payment.CARD, payments_pb2.Payment.COD
CALL = calls.Call("/bazaar.payments.v1.PaymentsService/Any", "checkout", Principal("service", "checkout", frozenset()))


@dataclass(frozen=True)
class Counter:
    """A gateway's process and all that a test needs to stand on both sides of it."""

    client: SandboxClient
    door: Door
    secrets: Secrets
    url: str
    folder: Path


class Till:
    """The servicer, called as its neighbours call it, and the clearing that its leader does."""

    def __init__(self, servicer: Any, clearing: Clearing, database: Database) -> None:
        self.clearing = clearing
        self._servicer = servicer
        self._database = database

    async def create(self, order_id: str, method: payments_pb2.Payment.Method.ValueType = UPI) -> payments_pb2.Payment:
        ask = pb.CreatePaymentRequest(order_id=order_id, method=method, amount=Money(currency_code="INR", minor_units=1999))
        return (await self._servicer.CreatePayment(ask, None)).payment

    async def get(self, order_id: str) -> payments_pb2.Payment:
        return (await self._servicer.GetPayment(pb.GetPaymentRequest(order_id=order_id), None)).payment

    async def void(self, order_id: str) -> payments_pb2.Payment:
        return (await self._servicer.VoidPayment(pb.VoidPaymentRequest(order_id=order_id), None)).payment

    async def hear(self, headers: dict[str, str], body: bytes, gateway: str = "sandbox") -> None:
        calls.enter(CALL)
        context = SimpleNamespace(invocation_metadata=lambda: tuple(headers.items()))
        await self._servicer.ReceiveWebhook(pb.ReceiveWebhookRequest(gateway=gateway, body=HttpBody(data=body)), context)

    async def state(self, order_id: str) -> str:
        """As it is kept, asking nobody."""
        return (await self._row(order_id))["state"]

    async def is_due(self, order_id: str) -> bool:
        return (await self._row(order_id))["due_at"] is not None

    async def clear(self, order_id: str) -> str:
        """What the leader does once the payment's time has come; the state after it."""
        async with self._database.connection() as connection:
            await connection.execute("UPDATE payments SET due_at = now() - interval '1 second' WHERE order_id = %s", [order_id])
        await self.clearing.clear()
        return await self.state(order_id)

    async def events(self) -> list[str]:
        async with self._database.connection() as connection:
            rows = await (await connection.execute("SELECT type FROM outbox ORDER BY id")).fetchall()
        return [row["type"].rpartition(".Payment")[2] for row in rows]

    async def _row(self, order_id: str) -> dict[str, Any]:
        async with self._database.connection() as connection:
            row = await (await connection.execute("SELECT * FROM payments WHERE order_id = %s", [order_id])).fetchone()
        assert row is not None
        return row


def becomes(till: Till, order_id: str) -> Callable[[str], Any]:
    """Waits until the payment is in a state."""
    return lambda state: eventually(lambda: till.state(order_id), state)


async def heard(counter: Counter, payment_id: str) -> int:
    """How many webhooks have told of a payment."""
    return sum(payment_id.encode() in body for _, body in counter.door.heard)
