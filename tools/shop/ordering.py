"""Places many orders, as many customers at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tools.shop.client import Refused, Shop, patiently
from tools.shop.customers import Customer, Customers
from tools.shop.report import Report

CONCURRENCY = 48
"""Orders under way at once; more only wait in the shop."""
CONFIRMED = "CONFIRMED"


@dataclass(frozen=True)
class Order:
    """What is to be ordered."""

    key: str
    """Names the order: placing it again answers the one that was placed."""
    customer: str
    units: dict[str, int]
    """By SKU."""


@dataclass
class Checkout:
    """Places orders through the edge; what is refused goes to the report."""

    shop: Shop
    customers: Customers
    report: Report
    lines: Counter[str] = field(default_factory=Counter)
    """How many of the confirmed orders hold a SKU."""

    async def place(
        self,
        orders: Iterable[Order],
        *,
        rate: float | None = None,
        concurrency: int = CONCURRENCY,
        told: Callable[[int], None] = lambda done: None,
    ) -> None:
        """Places all orders.

        Args:
            rate: orders begun a second, at most; as fast as the shop takes them when left out.
            told: gets the number of orders done so far.

        Raises:
            Refused: the shop can't be reached any more.
        """
        begun = datetime.now(UTC)
        queue, done = iter(orders), 0
        pace = _Pace(rate)

        async def clerk() -> None:
            nonlocal done
            for order in queue:
                await pace.wait()
                await self._place(order, begun)
                done += 1
                told(done)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(concurrency):
                    group.create_task(clerk())
        except ExceptionGroup as failed:
            # The first says it all; the others were on their way when it came.
            raise failed.exceptions[0] from None

    async def _place(self, order: Order, begun: datetime) -> None:
        customer = self.customers[order.customer]
        try:
            placed = await self._post(customer, order)
        except Refused as refused:
            if refused.reason == "UNREACHABLE":
                raise
            self.report.refuse("order", refused.reason, refused.text, basket_id=order.key, **refused.metadata)
            return
        if placed["state"] != CONFIRMED:
            self.report.refuse("order", f"state {placed['state']}", basket_id=order.key, order_id=placed["orderId"])
            return
        is_new = datetime.fromisoformat(placed["createTime"]) >= begun
        self.report.counts["orders placed" if is_new else "orders that were placed before"] += 1
        self.lines.update(order.units.keys())

    async def _post(self, customer: Customer, order: Order) -> dict[str, Any]:
        lines = [{"sku": sku, "quantity": quantity} for sku, quantity in order.units.items()]
        body = {"lines": lines, "addressId": await customer.address_id(), "paymentMethod": "COD"}
        try:
            return await self._send(customer, order.key, body)
        except Refused as refused:
            if refused.reason != "UNAUTHENTICATED":
                raise
        # The token may have ended while the call waited.
        customer.account.forget()
        return await self._send(customer, order.key, body)

    async def _send(self, customer: Customer, key: str, body: dict[str, Any]) -> dict[str, Any]:
        token = await customer.account.token()
        return (await patiently(lambda: self.shop.post("/v1/orders", body, token=token, key=key)))["order"]


class _Pace:
    """Lets so many through a second, evenly; all at once without a rate."""

    def __init__(self, rate: float | None) -> None:
        self._slots = self._at(rate) if rate else None

    async def wait(self) -> None:
        if self._slots:
            await asyncio.sleep(next(self._slots) - asyncio.get_running_loop().time())

    @staticmethod
    def _at(rate: float) -> Iterator[float]:
        first = asyncio.get_running_loop().time()
        number = 0
        while True:
            yield first + number / rate
            number += 1
