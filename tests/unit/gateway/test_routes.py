import re
from pathlib import Path

import pytest
from google.protobuf import message_factory

from gateway.limits import Limiting
from gateway.methods import Method, descriptor_set, methods, service_files
from gateway.routes import GRPC_HEADERS, path_regex, virtual_host
from gateway.upstreams import way
from services.kit.auth import Policy
from services.kit.rpc.headers import locating
from services.kit.rpc.methods import facts_of

FILES = service_files()
METHODS = methods(FILES, Policy.load(Path(__file__).parents[3] / "mesh" / "policy.yaml"))
ROUTES = virtual_host(METHODS, Limiting())["routes"]
LASTING = {"bazaar.orders.v1.OrdersService/StreamOrderLines", "bazaar.ranking.v1.RankingService/WatchTopProducts"}
"""Streams of calls that may be shed."""
REST = [
    pytest.param(binding, method, id=f"{binding.verb} {binding.template}")
    for method in METHODS
    if method.is_open
    for binding in method.bindings
]


def matching(verb, path):
    """The first route that takes a REST call, as Envoy would find it."""
    for route in ROUTES:
        match = route["match"]
        if "runtime_fraction" in match:
            continue  # only while calls are shed
        wanted = {header["name"]: header.get("string_match") for header in match.get("headers", [])}
        if wanted.keys() & {"content-type", *GRPC_HEADERS} or wanted.get(":method", {"exact": verb}) != {"exact": verb}:
            continue
        if match.get("path") == path or ("safe_regex" in match and re.fullmatch(match["safe_regex"]["regex"], path)) or "prefix" in match:
            return route
    return None


def requirement(route):
    return route["typed_per_filter_config"]["envoy.filters.http.jwt_authn"]["requirement_name"]


@pytest.mark.parametrize(("binding", "method"), REST)
def test_every_rest_form_leads_to_its_own_method_with_its_own_token_rule(binding, method):
    route = matching(binding.verb, re.sub(r"\{[^}]*\}", "x1", binding.template))

    assert (route["decorator"]["operation"], requirement(route)) == (method.name, "user" if method.needs_user else "anyone")


def test_what_may_be_shed_goes_to_the_same_workers_by_ways_of_its_own():
    wanted = {1: {"cluster": "workers"}, 2: {"cluster": "workers-sheddable"}, 3: {"cluster": "workers-sheddable", "priority": "HIGH"}}

    assert {method.priority for method in METHODS if way(method) == wanted[method.priority]} == {1, 2, 3}
    assert {method.name for method in METHODS if way(method) != wanted[method.priority]} == LASTING


def test_every_form_under_v1_is_there_under_api_too():
    forms = {(binding.verb, binding.template) for method in METHODS for binding in method.bindings}

    assert {(verb, path.replace("/v1/", "/api/", 1)) for verb, path in forms if path.startswith("/v1/")} <= forms


def test_the_transcoder_knows_the_same_forms():
    methods_with_rules = sum(bool(method.bindings) for method in METHODS)
    copies = [method for file in descriptor_set(FILES).file for service in file.service for method in service.method]

    assert sum(b"/api/" in method.options.SerializeToString() for method in copies) == methods_with_rules - 1  # the key set has no version


@pytest.mark.parametrize("method", [method for method in METHODS if method.creates], ids=lambda method: method.name)
def test_what_a_method_makes_is_found_by_a_get(method):
    facts = facts_of(method.path)
    request, response = (message_factory.GetMessageClass(descriptor)() for descriptor in (facts.request, facts.response))
    [(_, location)] = locating(facts.response, facts.creates)(request, response, True)
    route = matching("GET", location.replace("//", "/x1/") + ("x1" if location.endswith("/") else ""))

    assert route["name"].split("/")[1].startswith("Get")


def test_an_internal_method_is_not_open():
    assert [method.name for method in METHODS if method.name.endswith("/ConfirmOrder") and method.is_open] == []


def test_a_method_that_may_run_twice_is_tried_again_after_a_reset():
    policies = {route["decorator"]["operation"]: route["route"]["retry_policy"]["retry_on"] for route in ROUTES if "route" in route}

    assert policies["bazaar.orders.v1.OrdersService/GetOrder"] == "connect-failure,refused-stream,reset,unavailable"
    assert policies["bazaar.users.v1.UsersService/Login"] == "connect-failure,refused-stream"


def test_what_may_be_shed_is_not_tried_again_because_it_was():
    policies = {route["decorator"]["operation"]: route["route"]["retry_policy"]["retry_on"] for route in ROUTES if "route" in route}

    assert policies["bazaar.ranking.v1.RankingService/GetProductRank"] == "connect-failure,refused-stream,reset"


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("catalog.v1.CatalogService/GetProduct", "read"),
        ("cart.v1.CartService/AddItem", "write"),
        ("users.v1.UsersService/UpdateUser", "write"),
        ("users.v1.UsersService/Register", "login"),
        ("users.v1.UsersService/Login", "login"),
        ("users.v1.UsersService/RefreshSession", "login"),
        ("checkout.v1.CheckoutService/PlaceOrder", "checkout"),
        ("payments.v1.PaymentsService/ReceiveWebhook", ""),
    ],
)
def test_a_method_counts_against_a_limit_of_its_kind(name, limit):
    assert [method.limit for method in METHODS if method.name == f"bazaar.{name}"] == [limit]


def test_every_method_that_may_be_shed_and_no_other_has_a_switch():
    switched = {route["name"] for route in ROUTES if "runtime_fraction" in route["match"]}

    assert switched == {method.name for method in METHODS if method.is_open and method.priority > 1}


def test_a_policys_timeout_is_the_calls_deadline_and_the_edge_gives_up_later():
    method = Method(
        "p.S/M",
        (),
        is_open=True,
        needs_user=False,
        priority=1,
        is_stream=False,
        can_repeat=False,
        is_cacheable=False,
        creates=False,
        limit="write",
        timeout_seconds=2.5,
    )
    [route, *_] = [route for route in virtual_host([method], Limiting())["routes"] if "route" in route]

    assert route["request_headers_to_add"][0]["header"] == {"key": "grpc-timeout", "value": "2500m"}
    assert route["route"]["timeout"] == "3.5s"


@pytest.mark.parametrize(
    ("template", "path", "is_match"),
    [
        ("/v1/orders/{order_id}", "/v1/orders/o-1", True),
        ("/v1/orders/{order_id}", "/v1/orders/o-1:cancel", False),
        ("/v1/orders/{order_id}", "/v1/orders/o-1/lines", False),
        ("/v1/orders/{order_id}:cancel", "/v1/orders/o-1:cancel", True),
        ("/v1/{name=files/**}", "/v1/files/a/b", True),
        ("/v1/{name=files/*}", "/v1/files/a/b", False),
        ("/.well-known/jwks.json", "/xwell-known/jwks.json", False),
    ],
)
def test_a_template_matches_as_google_api_http_says(template, path, is_match):
    assert bool(re.fullmatch(path_regex(template), path)) == is_match


def test_a_retry_goes_to_another_worker():
    policies = [route["route"]["retry_policy"] for route in ROUTES if "route" in route]

    assert {predicate["name"] for policy in policies for predicate in policy["retry_host_predicate"]} == {
        "envoy.retry_host_predicates.previous_hosts"
    }
