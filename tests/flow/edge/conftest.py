"""What the tests at the edge share: the running system, products, and people whose things nobody may touch."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.flow.edge.buying import PAID_LAMP
from tests.flow.edge.client import Customer, Edge
from tests.invariants import violations
from tests.running import RunningBazaar
from tests.sandbox import SandboxClient

TV, LAMP, SHIRT = "edge-tv", "edge-lamp", "edge-shirt"
SCREENS = "edge-tests.screens"


@pytest.fixture(scope="session")
def edge(running: RunningBazaar) -> Iterator[Edge]:
    """The edge, with three products behind it; the shirt comes in two sizes."""
    edge = Edge(running)
    edge.stock(
        {"productId": TV, "title": "Television", "brand": "Acme", "categoryPath": ["Edge tests", "Screens"]},
        {"productId": LAMP, "title": "Lamp", "categoryPath": ["Edge tests", "Lights"]},
        {"productId": SHIRT, "title": "Shirt", "categoryPath": ["Edge tests"], "variants": [{"sku": f"{SHIRT}-s"}, {"sku": f"{SHIRT}-m"}]},
    )
    yield edge
    edge.http.close()


@pytest.fixture(scope="session")
def shopper(edge: Edge) -> Customer:
    """Somebody for tests that don't care what else they have bought."""
    return edge.customer()


@pytest.fixture(scope="session")
def bank(edge: Edge) -> Iterator[SandboxClient]:
    """The gateway; a lamp is on sale that only those buy who pay through it."""
    edge.stock({"productId": PAID_LAMP, "title": "Lamp", "categoryPath": ["Edge paid"]}, units=1000)
    client = edge.running.sandbox()
    yield client
    client.http.close()


@dataclass(frozen=True)
class Household:
    """Somebody's things."""

    owner: Customer
    cart_id: str
    order_id: str


@pytest.fixture(scope="session")
def buyer(edge: Edge) -> Household:
    """Who makes the calls that are refused."""
    return _household(edge)


@pytest.fixture(scope="session")
def stranger(edge: Edge) -> Household:
    """Somebody else."""
    return _household(edge)


def _household(edge: Edge) -> Household:
    owner = edge.customer()
    order = edge.order(owner, f"{SHIRT}-s")
    return Household(owner, edge.cart(owner, f"{SHIRT}-m"), order["orderId"])


@pytest.fixture(scope="session")
def still(edge: Edge, buyer: Household, stranger: Household) -> dict[str, Any]:
    """How everything is that refused calls could have changed."""
    return _state(edge, buyer, stranger)


@pytest.fixture
def unchanged(edge: Edge, still: dict[str, Any], buyer: Household, stranger: Household) -> Iterator[None]:
    """After the test everything is as it was."""
    yield
    assert _state(edge, buyer, stranger) == still


def _state(edge: Edge, *households: Household) -> dict[str, Any]:
    state = {}
    for each in households:
        profile = f"/v1/users/{each.owner.user_id}"
        for path in ("/v1/carts", "/v1/orders", profile, f"{profile}/addresses"):
            state[profile, path] = edge.ok("GET", path, user=each.owner)
    for path in (f"/v1/products/{SHIRT}", f"/v1/inventory/{SHIRT}-s/balances"):
        state[path] = edge.ok("GET", path, user=edge.admin)
    return state


@pytest.fixture(scope="module", autouse=True)
async def books(running: RunningBazaar) -> AsyncIterator[None]:
    """The shop's invariants hold after each module."""
    yield
    assert await violations(running.servers) == []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What compares the policy with all that happened comes last."""
    items.sort(key=lambda item: item.path.name == "test_policy.py")
