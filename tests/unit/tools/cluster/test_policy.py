"""What the mesh lets through is what mesh/policy.yaml grants, both ways."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import yaml

from services.__main__ import NOUNS
from services.kit.auth import Policy
from tests.unit.tools.cluster.conftest import named, of_kind, overlay
from tools.cluster import MESH, files
from tools.cluster.facts import PROCESS, facts
from tools.cluster.istio import allowed

POLICY = yaml.safe_load((MESH / "policy.yaml").read_text())
SERVICES = sorted(NOUNS)
NAME = "app.kubernetes.io/name"


def granted():
    """(identity, service account, path) as the policy has it, read without the generator."""
    return {
        (caller, account, f"/{method}")
        for method, entry in POLICY["methods"].items()
        for caller in entry["callers"]
        for account in (SERVICES if caller == "process" else [caller])
    }


def policies(name):
    return [document for document in of_kind(name, "AuthorizationPolicy") if document["metadata"]["name"] in SERVICES]


@pytest.mark.parametrize("name", ["dev", "production", "ambient"])
def test_the_mesh_allows_what_the_policy_grants_and_nothing_else(name):
    assert allowed(policies(name)) == granted()


def test_a_rule_that_is_missing_is_noticed():
    documents = copy.deepcopy(policies("dev"))
    documents[0]["spec"]["rules"].pop()

    assert allowed(documents) < granted()


def test_a_path_that_is_too_much_is_noticed():
    documents = copy.deepcopy(policies("dev"))
    documents[0]["spec"]["rules"][0]["to"][0]["operation"]["paths"].append("/bazaar.orders.v1.OrdersService/Wipe")

    assert allowed(documents) > granted()


@pytest.mark.parametrize("name", ["dev", "ambient"])
def test_each_policy_guards_the_service_whose_methods_it_names(name):
    for document in policies(name):
        spec, service = document["spec"], document["metadata"]["name"]
        where = spec["selector"]["matchLabels"] if name == "dev" else spec["targetRefs"][0]["name"]
        assert where == ({"app.kubernetes.io/name": service} if name == "dev" else service)
        assert {path.split(".")[1] for _, _, path in allowed([document])} == {service}


@pytest.mark.parametrize("name", ["dev", "production", "ambient"])
def test_nothing_is_allowed_by_default(name):
    assert named(name, "AuthorizationPolicy", "nothing")["spec"] == {}
    assert named(name, "PeerAuthentication", "strict")["spec"] == {"mtls": {"mode": "STRICT"}}


def test_a_caller_may_say_its_own_name_alone():
    told = {(caller, account) for caller, account, _ in allowed(policies("dev"))}

    assert {caller for caller, account in told if caller != account} == {PROCESS}


@pytest.mark.parametrize("name", ["dev", "ambient"])
def test_the_edge_alone_may_ask_who_counts_for_its_limits(name):
    [rule] = named(name, "AuthorizationPolicy", "users-counts")["spec"]["rules"]

    assert rule == {
        "from": [{"source": {"principals": ["cluster.local/ns/bazaar/sa/edge"]}}],
        "to": [{"operation": {"methods": ["POST"], "paths": ["/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit"]}}],
    }


def test_behind_a_waypoint_a_pod_answers_the_waypoint_alone():
    doors = [document for document in of_kind("ambient", "AuthorizationPolicy") if document["metadata"]["name"].endswith("-waypoint")]

    assert len(doors) == len(SERVICES)
    assert {source for door in doors for source in door["spec"]["rules"][0]["from"][0]["source"]["principals"]} == {
        "cluster.local/ns/bazaar/sa/waypoint"
    }


def connecting(name):
    """(who, to which service) as NetworkPolicies let them connect."""
    found = set()
    for document in of_kind(name, "NetworkPolicy"):
        if document["metadata"]["name"] in SERVICES:
            for rule in document["spec"]["ingress"]:
                for source in rule["from"]:
                    found.add((source["podSelector"]["matchLabels"]["app.kubernetes.io/name"], document["metadata"]["name"]))
    return found


def test_only_who_may_call_can_connect():
    assert connecting("production") == {(account, path.split(".")[1]) for _, account, path in granted()}


def test_who_may_call_is_let_out_too():
    out = {
        (document["spec"]["podSelector"]["matchLabels"][NAME], peer["podSelector"]["matchLabels"].get(NAME))
        for document in of_kind("production", "NetworkPolicy")
        if document["metadata"]["name"] in (*SERVICES, "edge-out")
        for rule in document["spec"]["egress"]
        for peer in rule["to"]
    }

    assert {(who, to) for who, to in connecting("production") if who != to} == {(who, to) for who, to in out if to in SERVICES}


def routes(service):
    document = named("production", "VirtualService", service)
    return {match["uri"]["exact"]: route for route in document["spec"]["http"] for match in route.get("match", [])}


@pytest.mark.parametrize("fact", facts(), ids=lambda fact: fact.name)
def test_only_what_may_be_repeated_is_tried_again(fact):
    tries = {path: route["retries"]["attempts"] for path, route in routes(fact.name).items()}

    assert tries == {method.path: int(method.can_repeat and not method.is_stream) for method in fact.methods}


def test_what_is_no_method_is_not_tried_again():
    for service in SERVICES:
        last = named("production", "VirtualService", service)["spec"]["http"][-1]
        assert ("match" in last, last["retries"]) == (False, {"attempts": 0})


def test_a_method_with_a_time_of_its_own_has_it_in_the_mesh_and_a_second_more():
    assert routes("ranking")["/bazaar.ranking.v1.RankingService/RebuildRanking"]["timeout"] == "601s"
    assert routes("orders")["/bazaar.orders.v1.OrdersService/GetOrder"]["timeout"] == "11s"
    assert "timeout" not in routes("orders")["/bazaar.orders.v1.OrdersService/WatchOrder"]


def test_the_manifests_are_what_the_code_makes_of_the_policy():
    assert files.stale() == ""


def test_another_policy_makes_other_manifests(monkeypatch, tmp_path):
    changed = copy.deepcopy(POLICY)
    changed["methods"]["bazaar.orders.v1.OrdersService/GetOrder"]["callers"].append("payments")
    path = tmp_path / "policy.yaml"
    path.write_text(yaml.safe_dump(changed))
    monkeypatch.setattr("tools.cluster.facts.POLICY", path)
    facts.cache_clear()
    try:
        stale = files.stale()
    finally:
        facts.cache_clear()

    assert Policy.load(path).grant("/bazaar.orders.v1.OrdersService/GetOrder").callers == {"edge", "checkout", "payments"}
    assert all(str(Path("mesh") / part) in stale for part in ("istio/ambient/services/orders.yaml", "kubernetes/base/services/orders.yaml"))


def test_every_overlay_has_every_service():
    for document_kind in ("Deployment", "Service", "ServiceAccount", "HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy"):
        assert set(SERVICES) <= {document["metadata"]["name"] for document in overlay("sale") if document["kind"] == document_kind}
