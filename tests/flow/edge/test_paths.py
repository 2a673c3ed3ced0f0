"""Every path of the edge has a test, and what is no path is not found."""

from __future__ import annotations

import pytest

from gateway.methods import methods, service_files
from services.kit.auth import Policy
from tests.flow.edge.client import Customer, Edge, refusal
from tests.flow.edge.conftest import TV
from tests.flow.edge.paths import PREFIXES, covered
from tools import ROOT

pytestmark = pytest.mark.edge


def test_every_path_has_a_test():
    policy = Policy.load(ROOT / "mesh" / "policy.yaml")
    forms = {(each.verb, each.template) for method in methods(service_files(), policy) if method.is_open for each in method.bindings}

    assert {(verb, template) for verb, template in forms if template.startswith("/v1/")} == covered()


def test_the_edge_is_healthy(edge: Edge):
    assert edge.call("GET", "/healthz").status_code == 200


def test_the_public_keys_are_a_json_web_key_set(edge: Edge):
    [key] = edge.ok("GET", "/.well-known/jwks.json")["keys"]

    assert (key["kty"], key["crv"], key["alg"], key["use"], "d" in key) == ("EC", "P-256", "ES256", "sig", False)


LATER = [
    ("POST", "/cart/coupon"),
    ("DELETE", "/cart/coupon"),
    ("GET", f"/products/{TV}/reviews"),
    ("POST", f"/products/{TV}/reviews"),
    ("POST", "/payments/webhook"),
    ("POST", "/flash-sale/create"),
    ("POST", "/delivery/complete"),
]


@pytest.mark.parametrize(("verb", "target"), [*((verb, at + target) for at in PREFIXES for verb, target in LATER)])
def test_a_path_of_later_is_not_found(edge: Edge, shopper: Customer, verb: str, target: str):
    assert refusal(edge.call(verb, target, user=shopper)) == (404, "METHOD_NOT_FOUND")


@pytest.mark.parametrize("target", ["/", "/v1", "/openapi", "/docs/none", "/v2/products", "/stats", "/v1/products/", "/v1/Products"])
def test_a_path_that_is_none_is_not_found(edge: Edge, target: str):
    assert refusal(edge.call("GET", target)) == (404, "METHOD_NOT_FOUND")
