"""Requests made up from the OpenAPI document, for every operation and by everybody: each answer is one that the document tells.

Schemathesis makes half of them as the document wants them and half not; in half of them, what is named is there. The seed is fixed.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from gateway.errors import PROBLEM
from tests.flow.edge.client import Customer, Edge, check
from tests.flow.edge.contract import DOCUMENT, closed

pytestmark = pytest.mark.edge

EXAMPLES = 4
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
LAMP = "fuzz-lamp"
LOGOUT = "POST /users/logout"
LEFT_OUT = (":watch", "/ranking:")
"""Streams, which have no end; and what goes through the whole shop."""
STRICT = {**DOCUMENT, "components": closed()}
OPERATIONS = {
    operation.label: operation
    for operation in (result.ok() for result in schemathesis.openapi.from_dict(copy.deepcopy(STRICT)).get_all_operations())
    if not any(part in operation.label for part in LEFT_OUT)
}


@dataclass(frozen=True)
class World:
    """What there is to name, by the fields that name it, and who is there, in sessions of their own."""

    known: dict[str, str]
    people: dict[str, Customer]

    def named(self, value: Any) -> Any:
        """The same with things that are there, and without a request id, which would have to be the same twice."""
        if isinstance(value, dict):
            return {name: self._of(name, each) for name, each in value.items() if name != "requestId"}
        return [self.named(each) for each in value] if isinstance(value, list) else value

    def _of(self, name: str, value: Any) -> Any:
        return self.known[name] if name in self.known and not isinstance(value, dict | list) else self.named(value)


@pytest.fixture(scope="module")
def world(edge: Edge) -> World:
    """Somebody with an address, a cart and an order."""
    edge.stock({"productId": LAMP, "title": "Lamp", "categoryPath": ["Fuzz", "Lamps"]})
    customer = edge.customer()
    known = {
        "addressId": customer.address_id,
        "cartId": edge.cart(customer, LAMP),
        "category": "fuzz",
        "categoryId": "fuzz.lamps",
        "country": "NL",
        "couponCode": "",
        "currency": "USD",
        "currencyCode": "USD",
        "email": customer.email,
        "gateway": "sandbox",
        "orderId": edge.order(customer, LAMP)["orderId"],
        "pageToken": "",
        "password": customer.password,
        "productId": LAMP,
        "sku": LAMP,
        "userId": customer.user_id,
    }
    return World(known, in_new_sessions(customer, edge.admin))


def in_new_sessions(customer: Customer, admin: Customer) -> dict[str, Customer]:
    """The same people, who can be logged out without anybody else noticing."""
    return {name: Customer(each.edge, each.email, each.password) for name, each in (("customer", customer), ("admin", admin))}


@pytest.mark.parametrize("label", OPERATIONS)
def test_every_answer_is_one_that_the_document_tells(edge: Edge, world: World, label: str):
    operation = OPERATIONS[label]
    people = in_new_sessions(**world.people) if label == LOGOUT else world.people
    modes = st.one_of(*(operation.as_strategy(mode) for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)))

    @seed(20261122)
    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
    @given(
        case=modes,
        is_named=st.booleans(),
        who=st.sampled_from(["nobody", "customer", "customer", "admin", "admin"]),
        accepted=st.sampled_from(["*/*", PROBLEM]),
    )
    def answers(case: Case, is_named: bool, who: str, accepted: str) -> None:
        case.headers["Accept"] = accepted
        if is_named:
            case.path_parameters = world.named(case.path_parameters)
            case.query = world.named(case.query)
            case.body = world.named(case.body)
            case.headers.pop("Idempotency-Key", None)
        case.headers.pop("Authorization", None)
        if user := people.get(who):
            case.headers["Authorization"] = f"Bearer {user.token}"
        answer = case.call(base_url=edge.running.url + ("/v1" if operation.base_url == "/v1" else ""))
        check(answer.text, dict(answer.headers))
        case.validate_response(answer, checks=CHECKS)

    answers()
