"""Customers at their carts."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from tools.loading.measures import Measures
from tools.loading.scenarios.scenario import Scenario, wrong
from tools.loading.seeds import Seeds, in_parallel
from tools.shop.customers import Customer

KEPT = 2
"""SKUs that stay in a cart; one more comes and goes."""


@dataclass(frozen=True, slots=True)
class StandingCart:
    """A customer's cart, which is changed again and again."""

    customer: Customer
    path: str
    kept: Sequence[str]
    passing: str
    """The SKU that is put in and taken out."""


class Action(Enum):
    """What a customer does next with a cart."""

    ADD = auto()
    LOOK = auto()
    TAKE = auto()


class CartScenario(Scenario):
    """A look at a cart, something added to it, or taken out of it: a call each, and each customer all three in turn."""

    def __init__(self, seeds: Seeds) -> None:
        self._seeds = seeds
        self._carts: list[StandingCart] = []
        self._made = 0

    async def seed(self, clients: int) -> None:
        await self._seeds.stock()
        await self._seeds.enrol(clients)
        numbered = enumerate(self._seeds.customers)
        self._carts = await in_parallel([lambda each=each: self._open(*each) for each in numbered], lambda done: None)

    async def make(self) -> tuple[Action, StandingCart]:
        turn, number = divmod(self._made, len(self._carts))
        self._made += 1
        return _action(number + turn), self._carts[number]

    async def fire(self, shot: tuple[Action, StandingCart], measures: Measures) -> str:
        action, cart = shot
        shop, token = self._seeds.shop, await cart.customer.account.token()
        if action is Action.LOOK:
            answer = await shop.get(cart.path, token=token)
        elif action is Action.ADD:
            body = {"sku": cart.passing, "quantity": 1}
            answer = await shop.post(f"{cart.path}/items", body, token=token, key=uuid.uuid4().hex)
        else:
            answer = await shop.call("DELETE", f"{cart.path}/items/{cart.passing}", token=token)
        check_cart(answer["cart"])
        found = [item["sku"] for item in answer["cart"]["items"]]
        if not is_as_left(action, cart, found):
            raise wrong("CART_DIFFERS", f"after {action.name} {cart.path} holds {found}")
        return ""

    async def _open(self, number: int, customer: Customer) -> StandingCart:
        *kept, passing = self._seeds.popular(KEPT + 1)
        # Whoever doesn't begin by adding it has it in the cart already.
        skus = kept if _action(number) is Action.ADD else [*kept, passing]
        return StandingCart(customer, f"/v1/carts/{await self._seeds.cart(customer, skus)}", kept, passing)


def is_as_left(action: Action, cart: StandingCart, found: Sequence[str]) -> bool:
    """Whether these SKUs are what a cart holds right after an action.

    Calls for one cart may overtake each other, so that a look finds it either way; what a call has done shows in its own answer.
    """
    without = [*cart.kept]
    including = [*without, cart.passing]
    return found in {Action.ADD: [including], Action.LOOK: [without, including], Action.TAKE: [without]}[action]


def check_cart(cart: dict[str, Any]) -> None:
    """Adds a cart up.

    Raises:
        Refused: CART_STALE, when a service couldn't be asked; CART_WRONG, when its sums are.
    """
    if cart["isStale"] or cart["degraded"]:
        raise wrong("CART_STALE", f"not asked for the cart: {', '.join(cart['degraded'])}")
    items = cart["items"]
    amounts = [int(item["price"]["minorUnits"]) * item["quantity"] for item in items]
    is_right = (
        amounts == [int(item["amount"]["minorUnits"]) for item in items]
        and cart["itemCount"] == sum(item["quantity"] for item in items)
        and (int(cart["subtotal"]["minorUnits"]) if items else 0) == sum(amounts)
    )
    if not is_right:
        raise wrong("CART_WRONG", f"the cart {cart['cartId']} doesn't add up")


def _action(number: int) -> Action:
    return list(Action)[number % len(Action)]
