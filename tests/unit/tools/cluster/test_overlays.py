"""The overlays as a cluster would get them."""

from __future__ import annotations

import copy
import json
import math
import re
import shutil
import subprocess

import kubernetes_validate
import pytest
import yaml

from services.__main__ import NOUNS
from tests.kustomize import PatchFailed, rendered
from tests.unit.tools.cluster.conftest import OVERLAYS, containers, named, of_kind, overlay
from tools.cluster import MESH
from tools.cluster.facts import facts

DATABASES = sorted(fact.name for fact in facts() if fact.has_database)
CORE = {"v1", "apps/v1", "batch/v1", "autoscaling/v2", "policy/v1", "networking.k8s.io/v1"}
VERSION = "1.36"
WORKLOADS = ("Deployment", "StatefulSet", "Job")


def key(document):
    return document["kind"], document["metadata"].get("namespace", ""), document["metadata"]["name"]


def test_kubernetes_own_kinds_are_as_their_schemas_say():
    different = {json.dumps(document): document for name in OVERLAYS for document in overlay(name) if document["apiVersion"] in CORE}

    for document in different.values():
        kubernetes_validate.validate(document, VERSION, strict=True)
    assert {document["kind"] for document in different.values()} >= {"Deployment", "StatefulSet", "Job", "NetworkPolicy"}


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("Deployment", ("spec", "replicaz"), 3),
        ("Deployment", ("spec", "template", "spec", "containers", 0, "readinessProbe", "grpc", "port"), "grpc"),
        ("HorizontalPodAutoscaler", ("spec", "minReplicas"), "two"),
        ("NetworkPolicy", ("spec", "podSelectors"), {}),
    ],
)
def test_a_broken_manifest_is_noticed(kind, path, value):
    document = copy.deepcopy(named("dev", kind, "orders"))
    place = document
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value

    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(document, VERSION, strict=True)


@pytest.mark.parametrize("name", OVERLAYS)
def test_nothing_is_there_twice(name):
    keys = [key(document) for document in overlay(name)]

    assert len(keys) == len(set(keys))


def test_no_manifest_lies_about_unused():
    plans = {
        path: yaml.safe_load(path.read_text()) for folder in ("kubernetes", "istio") for path in (MESH / folder).rglob("kustomization.yaml")
    }
    named_there = {path.parent / name for path, plan in plans.items() for name in plan.get("resources", [])}
    manifests = {path for folder in ("kubernetes", "istio") for path in (MESH / folder).rglob("*.yaml")}

    assert manifests - plans.keys() - named_there == set()


@pytest.mark.parametrize("name", OVERLAYS)
def test_kubectl_renders_the_same(name):
    if not shutil.which("kubectl"):
        pytest.skip("kubectl is not installed; ./bazaar test mesh-kubernetes builds it")
    printed = subprocess.run(["kubectl", "kustomize", MESH / "kubernetes" / "overlays" / name], capture_output=True, text=True, check=True)
    theirs = {key(document): document for document in yaml.safe_load_all(printed.stdout)}

    assert {key(document): document for document in overlay(name)} == theirs


@pytest.mark.parametrize("name", ["dev", "production", "sale", "ambient"])
def test_whatever_is_referred_to_is_there(name):
    """Services, ConfigMaps and accounts that pods name; autoscalers' and budgets' targets."""
    there = {(document["kind"], document["metadata"]["name"]) for document in overlay(name)}
    wanted = set()
    for document in of_kind(name, *WORKLOADS):
        pod = document["spec"]["template"]["spec"]
        wanted |= {("ServiceAccount", pod["serviceAccountName"])} if "serviceAccountName" in pod else set()
        wanted |= {("ConfigMap", source["configMapRef"]["name"]) for each in containers(document) for source in each.get("envFrom", [])}
        wanted |= {
            ("Service", variable["value"].partition(":")[0])
            for each in containers(document)
            for variable in each.get("env", [])
            if variable["name"].startswith("BAZAAR_ADDRESS_")
        }
    wanted |= {
        (each["spec"]["scaleTargetRef"]["kind"], each["spec"]["scaleTargetRef"]["name"])
        for each in of_kind(name, "HorizontalPodAutoscaler")
    }
    wanted |= {("Deployment", each["spec"]["scaleTargetRef"]["name"]) for each in of_kind(name, "ScaledObject")}

    assert wanted <= there


@pytest.mark.parametrize("name", ["dev", "ambient"])
def test_every_selector_finds_pods(name):
    pods = [document["spec"]["template"]["metadata"]["labels"] for document in of_kind(name, *WORKLOADS)]
    selectors = [document["spec"]["selector"] for document in of_kind(name, "Service")]
    selectors += [document["spec"]["selector"]["matchLabels"] for document in of_kind(name, "PodDisruptionBudget")]

    assert [each for each in selectors if not any(each.items() <= pod.items() for pod in pods)] == []


@pytest.mark.parametrize("name", OVERLAYS)
def test_pods_have_no_rights_that_they_do_not_need(name):
    for document in of_kind(name, *WORKLOADS):
        pod = document["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        for container in containers(document):
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert container["securityContext"].get("readOnlyRootFilesystem") is True or "pulsar" in container["image"]
            assert "memory" in container["resources"]["limits"]
            assert ":latest" not in container["image"]


def test_no_overlay_holds_a_secret():
    assert [key(document) for name in OVERLAYS for document in of_kind(name, "Secret")] == []


def numbers(name):
    found = {document["metadata"]["name"]: document["spec"]["minReplicas"] for document in of_kind(name, "HorizontalPodAutoscaler")}
    return {
        **{each: found[each] for each in ("edge", "cart", "orders", "payments")},
        "brokers": named(name, "StatefulSet", "pulsar-broker")["spec"]["replicas"],
        "redis": 2 * named(name, "RedisCluster", "redis")["spec"]["clusterSize"],
        "replicas": {document["spec"]["instances"] - 1 for document in of_kind(name, "Cluster")},
    }


def test_a_working_day_and_a_sale_have_the_numbers_that_were_asked_for():
    assert numbers("production") == {"edge": 50, "cart": 30, "orders": 20, "payments": 40, "brokers": 9, "redis": 6, "replicas": {3}}
    assert numbers("sale") == {"edge": 500, "cart": 300, "orders": 200, "payments": 400, "brokers": 27, "redis": 30, "replicas": {10}}


ZONES = 3


def zoned(spec):
    """How many of a PostgreSQL's instances share a zone at most."""
    constraint = spec["topologySpreadConstraints"][0]
    assert (constraint["topologyKey"], constraint["maxSkew"], constraint["whenUnsatisfiable"]) == (
        "topology.kubernetes.io/zone",
        1,
        "DoNotSchedule",
    )
    return math.ceil(spec["instances"] / ZONES)


@pytest.mark.parametrize("name", ["ambient", "production", "sale"])
@pytest.mark.parametrize("service", DATABASES)
def test_a_commit_is_in_two_zones_and_survives_the_loss_of_one(name, service):
    spec = named(name, "Cluster", f"postgres-{service}")["spec"]
    synchronous, instances = spec["postgresql"]["synchronous"], spec["instances"]

    assert synchronous == {"method": "any", "number": zoned(spec), "dataDurability": "required", "failoverQuorum": True}
    # Those that are left without the primary's zone know whether they have all commits: CloudNativePG's R + W > N.
    assert (instances - zoned(spec)) + synchronous["number"] > instances - 1


POOL, LEADS = 3, 1
"""Connections of a process that answers; of one that works, besides."""


def most_processes(name, service):
    """At the height of what autoscalers allow, while a new version comes in: of those that answer, of those that work."""
    most = {document["metadata"]["name"]: document["spec"]["maxReplicas"] for document in of_kind(name, "HorizontalPodAutoscaler")}
    most |= {document["metadata"]["name"]: document["spec"]["maxReplicaCount"] for document in of_kind(name, "ScaledObject")}
    surge = {document["spec"]["strategy"]["rollingUpdate"]["maxSurge"] for document in of_kind(name, "Deployment")}
    assert surge == {"25%"}
    return [math.ceil(most[each] * 1.25) for each in (service, f"{service}-worker")]


@pytest.mark.parametrize("name", OVERLAYS)
@pytest.mark.parametrize("service", DATABASES)
def test_a_database_takes_all_connections_that_its_service_may_open(name, service):
    answering, working = most_processes(name, service)
    canary, migration, operator = POOL, 1, 10
    parameters = named(name, "Cluster", f"postgres-{service}")["spec"]["postgresql"]["parameters"]

    assert answering * POOL + working * (POOL + LEADS) + canary + migration + operator <= int(parameters["max_connections"])


@pytest.mark.parametrize("service", DATABASES)
def test_nobody_else_reaches_a_services_database(service):
    here = {"podSelector": {"matchLabels": {"cnpg.io/cluster": f"postgres-{service}"}}}
    policies = {document["metadata"]["name"]: document["spec"] for document in of_kind("production", "NetworkPolicy")}
    users, within = policies[f"postgres-{service}"]["ingress"]

    assert {"podSelector": policies[f"postgres-{service}"]["podSelector"]} == here
    assert users == {
        "from": [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": service}}}],
        "ports": [{"protocol": "TCP", "port": 5432}],
    }
    assert within["from"] == [here, {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "cnpg-system"}}}]
    assert {name for name, spec in policies.items() for rule in spec.get("egress", []) if here in rule.get("to", [])} == {
        service,
        f"postgres-{service}",
    }


@pytest.mark.parametrize(("own", "other"), [("region-a", "region-b"), ("region-b", "region-a")])
def test_each_region_knows_itself_and_the_other(own, other):
    job = containers(named(own, "Job", "pulsar-replication"))[0]
    [proxied] = named(other, "Certificate", "pulsar-proxy")["spec"]["dnsNames"]

    assert named(own, "ConfigMap", "pulsar")["data"]["CLUSTER"] == own
    assert named(own, "ConfigMap", "region")["data"] == {"OTHER": other, "OTHER_HOST": proxied}
    assert job["envFrom"] == [{"configMapRef": {"name": "region"}}]
    assert re.findall(r"for topic in (.*);", job["args"][0]) == ["order-lines catalog"]


@pytest.mark.parametrize("name", ["region-a", "region-b"])
def test_the_other_region_comes_in_by_proxies_that_may_say_for_whom_they_speak(name):
    settings = named(name, "ConfigMap", "pulsar")["data"]
    proxy = containers(named(name, "Deployment", "pulsar-proxy"))[0]
    told = {variable["name"]: variable["value"] for variable in proxy["env"]}
    outside = {document["metadata"]["name"] for document in of_kind(name, "Service") if document["spec"].get("type") == "LoadBalancer"}

    assert outside == {"pulsar-proxy"}
    assert settings["PULSAR_PREFIX_proxyRoles"] == "proxy"
    assert settings["PULSAR_PREFIX_authenticateOriginalAuthData"] == told["PULSAR_PREFIX_forwardAuthorizationCredentials"] == "true"
    assert told["PULSAR_PREFIX_brokerClientAuthenticationParameters"] == "file:///pulsar/token/proxy"
    assert (told["PULSAR_PREFIX_servicePort"], told["PULSAR_PREFIX_webServicePort"]) == ("", "")


def with_component(tmp_path, *components):
    folder = tmp_path / "overlay"
    folder.mkdir()
    plan = {"resources": [str(MESH / "kubernetes" / "overlays" / "dev")], "components": [str(MESH / "istio" / name) for name in components]}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(plan))
    return rendered(folder)


def route(documents, service):
    return next(each for each in documents if each["kind"] == "VirtualService" and each["metadata"]["name"] == service)["spec"]["http"]


def test_a_canary_gets_who_asks_for_it_and_one_read_in_twenty(tmp_path):
    documents = with_component(tmp_path, "canary")
    by_header, _, reads, *_ = route(documents, "ranking")

    assert by_header["match"] == [{"headers": {"x-canary": {"exact": "true"}}}]
    assert by_header["route"][0]["destination"]["subset"] == "canary"
    assert [(each["destination"]["subset"], each["weight"]) for each in reads["route"]] == [("stable", 95), ("canary", 5)]
    versions = [each["spec"]["selector"]["matchLabels"] for each in documents if each["kind"] == "Deployment"]
    assert sorted(each["version"] for each in versions if "ranking" in each.values() and "serve" in each.values()) == ["canary", "stable"]


def test_only_reads_are_mirrored(tmp_path):
    mirrored = [each["name"] for each in route(with_component(tmp_path, "mirror"), "catalog") if "mirrors" in each]

    assert mirrored == ["reads-11s"]


def test_game_days_fault_what_may_fail(tmp_path):
    documents = with_component(tmp_path, "game-day")

    faults = {service: {each["name"]: [*each["fault"]] for each in route(documents, service) if "fault" in each} for service in NOUNS}
    assert {service: fault for service, fault in faults.items() if fault} == {
        "inventory": {"repeatable-11s": ["delay"]},
        "pricing": {"reads-11s": ["abort"]},
    }


def test_a_patch_that_no_longer_fits_is_noticed(tmp_path):
    folder = tmp_path / "overlay"
    folder.mkdir()
    step = "- {op: test, path: /spec/http/0/name, value: other}"
    plan = {
        "resources": [str(MESH / "istio" / "base")],
        "patches": [{"target": {"kind": "VirtualService", "name": "orders"}, "patch": step}],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(plan))

    with pytest.raises(PatchFailed):
        rendered(folder)
