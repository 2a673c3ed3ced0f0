"""Orders of carts that are filled before."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from tools.loading.measures import Measures
from tools.loading.scenarios.scenario import Scenario, wrong
from tools.loading.seeds import Seeds
from tools.shop.customers import Customer
from tools.shop.ordering import CONFIRMED

LINES = 2


@dataclass(frozen=True, slots=True)
class Order:
    """An order of a filled cart, ready to be sent."""

    customer: Customer
    key: str
    body: dict[str, Any]


class CheckoutScenario(Scenario):
    """POST /v1/orders of a cart of two lines, paid on delivery."""

    def __init__(self, seeds: Seeds) -> None:
        self._seeds = seeds

    async def seed(self, clients: int) -> None:
        await self._seeds.stock()
        await self._seeds.enrol(clients)

    async def make(self) -> Order:
        customer = self._seeds.next_customer()
        cart_id = await self._seeds.cart(customer, self._seeds.popular(LINES))
        body = {"cartId": cart_id, "addressId": await customer.address_id(), "paymentMethod": "COD"}
        return Order(customer, uuid.uuid4().hex, body)

    async def fire(self, shot: Order, measures: Measures) -> str:
        # Made long before, in an open loop: its customer's token may have been exchanged since.
        token = await shot.customer.account.token()
        answer = await self._seeds.shop.post("/v1/orders", shot.body, token=token, key=shot.key)
        if (state := answer["order"]["state"]) != CONFIRMED:
            raise wrong(f"STATE_{state}", "the order is not confirmed")
        return ""
