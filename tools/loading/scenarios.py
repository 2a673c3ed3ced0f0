"""What load consists of."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any, Protocol

from tools.loading.seeds import Seeds
from tools.shop import Refused
from tools.shop.client import patiently
from tools.shop.customers import Customer
from tools.shop.ordering import CONFIRMED

WINDOWS = ("all", "24h", "7d", "30d")
"""Not 1h: what was ordered for an earlier run may have left it."""

LINES = 2


class Scenario(Protocol):
    """One kind of call, again and again."""

    async def seed(self, clients: int) -> None:
        """Makes what the calls of so many clients need."""
        ...

    async def make(self) -> Any:
        """Prepares one call, untimed."""
        ...

    async def fire(self, shot: Any) -> None:
        """Makes the call.

        Raises:
            Refused: it failed.
        """
        ...


@dataclass(frozen=True, slots=True)
class Cart:
    """A filled cart, ready to be ordered."""

    customer: Customer
    token: str
    key: str
    body: dict[str, Any]


class CheckoutScenario:
    """POST /v1/orders of a cart of two lines, paid on delivery."""

    def __init__(self, seeds: Seeds) -> None:
        self._seeds = seeds
        self._next = 0

    async def seed(self, clients: int) -> None:
        await self._seeds.stock()
        await self._seeds.enrol(clients)

    async def make(self) -> Cart:
        shop, customers = self._seeds.shop, self._seeds.customers
        customer = customers[self._next % len(customers)]
        self._next += 1
        token = await customer.account.token()
        cart_id = (await patiently(lambda: shop.post("/v1/carts", {}, token=token)))["cart"]["cartId"]
        for sku in self._seeds.popular(LINES):
            body = {"sku": sku, "quantity": 1}
            await patiently(lambda body=body: shop.post(f"/v1/carts/{cart_id}/items", body, token=token, key=uuid.uuid4().hex))
        order = {"cartId": cart_id, "addressId": await customer.address_id(), "paymentMethod": "COD"}
        return Cart(customer, token, uuid.uuid4().hex, order)

    async def fire(self, shot: Cart) -> None:
        # Made long before, in an open loop: its customer's token may have been exchanged since.
        token = await shot.customer.account.token()
        answer = await self._seeds.shop.post("/v1/orders", shot.body, token=token, key=shot.key)
        if (state := answer["order"]["state"]) != CONFIRMED:
            raise Refused(200, 0, f"STATE_{state}", "the order is not confirmed")


class TopScenario:
    """GET /v1/queryTopProducts over all categories and windows."""

    def __init__(self, seeds: Seeds) -> None:
        self._seeds = seeds
        self._paths: list[str] = []

    async def seed(self, clients: int) -> None:
        await self._seeds.stock()
        await self._seeds.order_everywhere()
        self._paths = [
            f"/v1/queryTopProducts?category={category}&limit=10&window={window}"
            for category in self._seeds.categories
            for window in WINDOWS
        ]

    async def make(self) -> str:
        return self._seeds.chance.choice(self._paths)

    async def fire(self, shot: str) -> None:
        if not (await self._seeds.shop.get(shot))["products"]:
            raise Refused(200, 0, "EMPTY", f"{shot} is empty")


class BrowseScenario(TopScenario):
    """Customers who look around: half product pages, a third listings, the rest Top 10s."""

    async def make(self) -> str:
        chance = self._seeds.chance.random()
        if chance < 0.5:
            return f"/v1/products/{self._seeds.popular(1)[0]}"
        if chance < 0.83:
            return f"/v1/products?category={self._seeds.chance.choice(self._seeds.categories)}&pageSize=20"
        return await super().make()

    async def fire(self, shot: str) -> None:
        await self._seeds.shop.get(shot)


SCENARIOS = {"checkout": CheckoutScenario, "top10": TopScenario, "browse": BrowseScenario}
