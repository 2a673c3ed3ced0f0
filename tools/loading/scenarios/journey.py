"""Whole purchases, from an empty cart to a confirmed order."""

from __future__ import annotations

import asyncio
import uuid
from time import monotonic as clock
from typing import Any, NamedTuple

from tools.loading.measures import Measures
from tools.loading.scenarios.carts import check_cart
from tools.loading.scenarios.scenario import Scenario, wrong
from tools.loading.seeds import Seeds
from tools.shop.customers import Customer
from tools.shop.ordering import CONFIRMED

METHODS = ("UPI", "CARD")
"""Those that are paid at the gateway."""
LINES = 2
FIRST_WAIT, LONGEST_WAIT = 0.025, 0.2
"""Seconds between two looks at an order that has been paid, twice as long each time; a confirmation may be seen so much too late."""
PATIENCE = 20.0
"""Seconds that a paid order may take to be confirmed."""


class Journey(NamedTuple):
    """Who buys what, and how it is paid."""

    customer: Customer
    skus: list[str]
    method: str


class JourneyScenario(Scenario):
    """A new cart, two products, the customer's address, a quote, the order at that quote, its payment at the gateway, its confirmation.

    The shop confirms once the gateway's signed webhook has told it of the payment.
    """

    def __init__(self, seeds: Seeds) -> None:
        self._seeds = seeds
        self._shop = seeds.shop

    async def seed(self, clients: int) -> None:
        await self._seeds.stock()
        await self._seeds.enrol(clients)

    async def make(self) -> Journey:
        return Journey(self._seeds.next_customer(), self._seeds.popular(LINES), self._seeds.chance.choice(METHODS))

    async def fire(self, shot: Journey, measures: Measures) -> str:
        token = await shot.customer.account.token()
        with measures.step("cart"):
            cart = (await self._shop.post("/v1/carts", {}, token=token, key=uuid.uuid4().hex))["cart"]
        for sku in shot.skus:
            with measures.step("item"):
                cart = await self._add(cart["cartId"], sku, token)
        check_cart(cart)
        with measures.step("address"):
            address = (await self._shop.get(f"/v1/users/{shot.customer.user_id}/addresses", token=token))["addresses"][0]
        with measures.step("quote"):
            offer = await self._quote(cart, address, token)
        with measures.step("order"):
            order, link = await self._order(cart["cartId"], address["addressId"], offer["signedQuote"], shot.method, token)
        if order["total"] != offer["quote"]["total"]:
            raise wrong("QUOTE_NOT_KEPT", f"the order {order['orderId']} costs something else than was quoted")
        with measures.step("payment"):
            await self._seeds.bank.pay(link)
        with measures.step("confirmation"):
            await self._confirmed(order["orderId"], token)
        return ""

    async def _add(self, cart_id: str, sku: str, token: str) -> dict[str, Any]:
        body = {"sku": sku, "quantity": 1}
        return (await self._shop.post(f"/v1/carts/{cart_id}/items", body, token=token, key=uuid.uuid4().hex))["cart"]

    async def _quote(self, cart: dict[str, Any], address: dict[str, Any], token: str) -> dict[str, Any]:
        lines = [{"sku": item["sku"], "quantity": item["quantity"]} for item in cart["items"]]
        return await self._shop.post("/v1/quotes", {"lines": lines, "country": address["country"], "state": address["state"]}, token=token)

    async def _order(self, cart_id: str, address_id: str, quote: dict[str, Any], method: str, token: str) -> tuple[dict[str, Any], str]:
        body = {"cartId": cart_id, "addressId": address_id, "paymentMethod": method, "signedQuote": quote}
        answer = await self._shop.post("/v1/orders", body, token=token, key=uuid.uuid4().hex)
        if not answer["paymentLink"]:
            raise wrong("NO_PAYMENT_LINK", f"the order {answer['order']['orderId']} can't be paid yet")
        return answer["order"], answer["paymentLink"]

    async def _confirmed(self, order_id: str, token: str) -> None:
        give_up, wait = clock() + PATIENCE, FIRST_WAIT
        while True:
            await asyncio.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT)
            state = (await self._shop.get(f"/v1/orders/{order_id}", token=token))["order"]["state"]
            if state == CONFIRMED:
                return
            if state != "PAYMENT_PENDING" or clock() > give_up:
                raise wrong(f"STATE_{state}", f"the order {order_id} is not confirmed")
