"""The overlays before Istio's own checks and a real API server; and broken ones, which must not pass."""

from __future__ import annotations

import base64
import copy
import subprocess

import pytest
import yaml

from tests.cluster.conftest import COMPONENTS, OVERLAYS, chosen, must, with_components
from tests.kustomize import rendered
from tools import certificates
from tools.secrets import EDGE

pytestmark = pytest.mark.timeout(600)

ISTIO = "istio.io/"
NAMES = ("dev", "production", "sale", "ambient", "region-a", "region-b")
NOT_DEFINED_HERE = {"postgresql.cnpg.io/v1", "psmdb.percona.com/v1", "redis.redis.opstreelabs.in/v1beta2"}
"""Kinds of operators whose definitions can't be had as Go modules."""


@pytest.fixture(params=[*NAMES, "components"])
def documents(request, tmp_path):
    if request.param == "components":
        return with_components(tmp_path, "dev", *COMPONENTS)
    return rendered(OVERLAYS / request.param)


def validated(cluster, tmp_path, documents):
    file = tmp_path / "istio.yaml"
    file.write_text(yaml.safe_dump_all([each for each in documents if ISTIO in each["apiVersion"]]))
    return cluster.run("istioctl", "validate", "-f", str(file), f"--kubeconfig={cluster.kubeconfig}")


def analyzed(cluster, tmp_path, documents):
    file = tmp_path / "all.yaml"
    known = [each for each in documents if each["apiVersion"] not in NOT_DEFINED_HERE]
    file.write_text(yaml.safe_dump_all([*known, *pods(documents), *ingress(tmp_path)]))
    # Without -A it looks at the namespace `default` alone.
    options = ["--use-kube=false", "-A", "--failure-threshold", "Warning", f"--kubeconfig={cluster.kubeconfig}"]
    return cluster.run("istioctl", "analyze", *options, str(file))


def pods(documents):
    """What controllers would make of the workloads, since Istio looks for the pods that a selector means."""
    for each in documents:
        if each["kind"] in ("Deployment", "StatefulSet"):
            template = each["spec"]["template"]
            yield {"apiVersion": "v1", "kind": "Pod", "metadata": {**each["metadata"], **template["metadata"]}, "spec": template["spec"]}


def ingress(tmp_path):
    """The ingress gateway, which comes with Istio, and its certificate."""
    certificates.make_missing(tmp_path, EDGE, "test", [certificates.SERVES])
    where = {"name": "ingress", "namespace": "istio-ingress", "labels": {"istio": "ingress"}}
    ports = [{"name": name, "port": port} for name, port in (("http", 80), ("https", 443))]
    yield {"apiVersion": "v1", "kind": "Pod", "metadata": where, "spec": {"containers": [{"name": "istio-proxy", "image": "proxy:1"}]}}
    yield {"apiVersion": "v1", "kind": "Service", "metadata": where, "spec": {"selector": {"istio": "ingress"}, "ports": ports}}
    pair = {"tls.crt": EDGE.certificate, "tls.key": EDGE.key}
    data = {name: base64.b64encode((tmp_path / file).read_bytes()).decode() for name, file in pair.items()}
    secret = {"name": "shop-certificate", "namespace": "istio-ingress"}
    yield {"apiVersion": "v1", "kind": "Secret", "metadata": secret, "type": "kubernetes.io/tls", "data": data}


def tried(cluster, documents) -> subprocess.CompletedProcess[str]:
    return cluster.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", given=documents)


def test_istio_finds_every_field_valid(cluster, tmp_path, documents):
    assert must(validated(cluster, tmp_path, documents))


def test_istio_finds_nothing_missing(cluster, tmp_path, documents):
    done = analyzed(cluster, tmp_path, documents)

    assert done.returncode == 0, done.stdout + done.stderr


def test_an_api_server_would_take_every_object(cluster, documents):
    served = cluster.served()
    known = [document for document in documents if document["apiVersion"] in served]

    assert {document["apiVersion"] for document in documents} - served <= NOT_DEFINED_HERE
    assert must(tried(cluster, known)).count("(server dry run)") == len(known)


def test_kubectl_renders_what_the_tests_render(cluster):
    for name in NAMES:
        theirs = yaml.safe_load_all(must(cluster.run("kubectl", "kustomize", str(OVERLAYS / name))))
        assert by_key(theirs) == by_key(rendered(OVERLAYS / name))


def by_key(documents):
    return {(each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]): each for each in documents}


def broken(kind, name, change):
    document = copy.deepcopy(chosen(rendered(OVERLAYS / "dev"), (kind, name))[0])
    change(document["spec"])
    return document


BROKEN = [
    broken("VirtualService", "orders", lambda spec: spec["http"][0].update(timeoutt="1s")),
    broken("AuthorizationPolicy", "orders", lambda spec: spec.update(action="PERMIT")),
    broken("DestinationRule", "orders", lambda spec: spec["trafficPolicy"]["outlierDetection"].update(interval="soon")),
    broken("PeerAuthentication", "strict", lambda spec: spec["mtls"].update(mode="STRICTEST")),
    broken("Deployment", "orders", lambda spec: spec["template"]["spec"]["containers"][0].update(name="Orders!")),
    broken("NetworkPolicy", "orders", lambda spec: spec["ingress"][0]["ports"][0].update(port=70_000)),
]


@pytest.mark.parametrize("document", BROKEN, ids=lambda document: document["kind"])
def test_an_api_server_refuses_what_is_broken(cluster, document):
    assert tried(cluster, [document]).returncode != 0


@pytest.mark.parametrize("document", BROKEN[:4], ids=lambda document: document["kind"])
def test_istio_refuses_what_is_broken(cluster, tmp_path, document):
    assert validated(cluster, tmp_path, [document]).returncode != 0


def test_istio_misses_a_subset_that_is_not_there(cluster, tmp_path):
    documents = rendered(OVERLAYS / "dev")
    chosen(documents, ("VirtualService", "orders"))[0]["spec"]["http"][0]["route"][0]["destination"]["subset"] = "v2"

    assert analyzed(cluster, tmp_path, documents).returncode != 0
