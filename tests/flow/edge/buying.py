"""Lamps that are paid before they are sent."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg

from tests.flow.edge.client import Edge, order_of
from tests.sandbox import SandboxClient

PAID_LAMP = "edge-paid-lamp"
CATEGORY = "edge-paid"


class Buy:
    """One order of a lamp, and what becomes of it."""

    def __init__(self, edge: Edge, bank: SandboxClient, method: str = "UPI", key: str = "") -> None:
        self.edge, self.bank = edge, bank
        self.customer = edge.customer()
        self.stock = self.in_stock()
        self.answer = edge.ok("POST", "/v1/orders", order_of(self.customer, PAID_LAMP, paymentMethod=method), user=self.customer, key=key)
        self.order_id = self.answer["order"]["orderId"]
        self.link = self.answer["paymentLink"]

    def stands(self) -> tuple[str, str]:
        order = self.read()
        return order["state"], order["paymentState"]

    def read(self) -> dict[str, Any]:
        return self.edge.ok("GET", f"/v1/orders/{self.order_id}", user=self.customer)["order"]

    def becomes(self, state: str, payment_state: str, seconds: float = 15) -> None:
        self.edge.eventually(self.stands, lambda found: found == (state, payment_state), seconds)

    def entries(self) -> list[str]:
        return self.bank.entries(self.order_id)

    def cancel(self) -> tuple[str, str]:
        order = self.edge.ok("POST", f"/v1/orders/{self.order_id}:cancel", {}, user=self.customer)["order"]
        return order["state"], order["paymentState"]

    def ask_for_link(self) -> Any:
        return self.edge.call("GET", f"/v1/orders/{self.order_id}/paymentLink", user=self.customer)

    def in_stock(self) -> tuple[int, int]:
        """(on hand, reserved) lamps."""
        [balance] = self.edge.ok("GET", f"/v1/inventory/{PAID_LAMP}/balances", user=self.edge.admin)["balances"]
        return int(balance["onHand"]), int(balance["reserved"])

    def let_time_pass(self, minutes: int) -> None:
        """Until the reaper comes to an order that was opened so long ago."""
        with psycopg.connect(self.edge.running.servers.database("orders"), autocommit=True) as connection:
            connection.execute(
                "UPDATE orders SET created_at = created_at - %s, due_at = now() - interval '1 second' WHERE order_id = %s",
                [timedelta(minutes=minutes), self.order_id],
            )
