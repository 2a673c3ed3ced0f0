"""The overlays before Istio's own checks and a real API server; and broken ones, which must not pass."""

from __future__ import annotations

import base64
import subprocess

import pytest
import yaml

from tests.cluster.conftest import COMPONENTS, OVERLAYS, STRICT, chosen, must, with_components
from tests.kustomize import rendered
from tools import certificates
from tools.secrets import EDGE

pytestmark = pytest.mark.timeout(600)

ISTIO = "istio.io/"
NAMES = ("dev", "production", "sale", "ambient", "region-a", "region-b")
NOT_DEFINED_HERE = {"opensearch.org/v1", "psmdb.percona.com/v1", "redis.redis.opstreelabs.in/v1beta2"}
"""Kinds of operators whose definitions can't be had as Go modules."""
PROXY = {"name": "istio-proxy", "image": "istio/proxyv2:1.31.1"}


@pytest.fixture(params=[*NAMES, "components"])
def documents(request, tmp_path):
    if request.param == "components":
        return with_components(tmp_path, "production", *COMPONENTS)
    return rendered(OVERLAYS / request.param)


def validated(cluster, tmp_path, documents):
    file = tmp_path / "istio.yaml"
    file.write_text(yaml.safe_dump_all([each for each in documents if ISTIO in each["apiVersion"]]))
    return cluster.run("istioctl", "validate", "-f", str(file), f"--kubeconfig={cluster.kubeconfig}")


def analyzed(cluster, tmp_path, documents):
    known = [each for each in documents if each["apiVersion"] not in NOT_DEFINED_HERE]
    # From files it takes neither Services nor pods nor Secrets, and passes over whatever needs them.
    with cluster.holding([*known, *map(in_mesh, pods(documents)), *ingress(tmp_path)]):
        # Without -A it looks at the namespace `default` alone.
        return cluster.run("istioctl", "analyze", "-A", "--failure-threshold", "Warning", f"--kubeconfig={cluster.kubeconfig}")


def pods(documents, namespace="bazaar"):
    """What controllers would make of the workloads, since Istio looks for the pods that a selector means."""
    for each in documents:
        if each["kind"] in ("Deployment", "StatefulSet", "Job"):
            template, name = each["spec"]["template"], each["metadata"]["name"]
            claims = [claim["metadata"]["name"] for claim in each["spec"].get("volumeClaimTemplates", [])]
            volumes = [{"name": claim, "persistentVolumeClaim": {"claimName": f"{claim}-{name}-0"}} for claim in claims]
            spec = {**template["spec"], "volumes": [*template["spec"].get("volumes", []), *volumes]}
            metadata = {**template["metadata"], "name": name, "namespace": namespace}
            yield {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def in_mesh(pod):
    """A pod with the proxy that istiod puts into it; or with the note of Istio's CNI plug-in, that its node's proxy speaks for it."""
    if pod["metadata"]["labels"].get("sidecar.istio.io/inject") == "true":
        pod["spec"]["containers"] = [*pod["spec"]["containers"], PROXY]
    if pod["metadata"]["labels"].get("istio.io/dataplane-mode") == "ambient":
        pod["metadata"]["annotations"] = {"ambient.istio.io/redirection": "enabled"}
    return pod


def ingress(tmp_path):
    """The ingress gateway, which comes with Istio, and its certificate."""
    certificates.make_missing(tmp_path, EDGE, "test", [certificates.SERVES])
    where = {"name": "ingress", "namespace": "istio-ingress", "labels": {"istio": "ingress"}}
    ports = [{"name": name, "port": port} for name, port in (("http", 80), ("https", 443))]
    yield {"apiVersion": "v1", "kind": "Pod", "metadata": where, "spec": {"containers": [PROXY]}}
    yield {"apiVersion": "v1", "kind": "Service", "metadata": where, "spec": {"selector": {"istio": "ingress"}, "ports": ports}}
    pair = {"tls.crt": EDGE.certificate, "tls.key": EDGE.key}
    data = {name: base64.b64encode((tmp_path / file).read_bytes()).decode() for name, file in pair.items()}
    secret = {"name": "shop-certificate", "namespace": "istio-ingress"}
    yield {"apiVersion": "v1", "kind": "Secret", "metadata": secret, "type": "kubernetes.io/tls", "data": data}


def tried(cluster, documents) -> subprocess.CompletedProcess[str]:
    return cluster.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", given=documents)


def test_istio_finds_every_field_valid(cluster, tmp_path, documents):
    done = validated(cluster, tmp_path, documents)

    # With no more than a warning, it would say so in place of this.
    assert (done.returncode, done.stderr.strip().endswith("is valid")) == (0, True), done.stderr


def test_istio_finds_nothing_missing(cluster, tmp_path, documents):
    done = analyzed(cluster, tmp_path, documents)

    assert done.returncode == 0, done.stdout + done.stderr


def test_an_api_server_would_take_every_object(cluster, documents):
    served = cluster.served()
    known = [document for document in documents if document["apiVersion"] in served]

    assert {document["apiVersion"] for document in documents} - served <= NOT_DEFINED_HERE
    assert must(tried(cluster, known)).count("(server dry run)") == len(known)


def test_every_pod_keeps_to_kubernetes_strictest_rules(cluster, documents):
    made = list(pods(documents, STRICT))

    assert must(tried(cluster, made)).count("(server dry run)") == len(made)


def test_a_pod_that_may_run_as_root_is_refused(cluster, dev):
    [orders] = pods(chosen(dev, ("Deployment", "orders")), STRICT)
    del orders["spec"]["securityContext"]["runAsNonRoot"]

    assert "violates PodSecurity" in tried(cluster, [orders]).stderr


def test_kubectl_renders_what_the_tests_render(cluster):
    for name in NAMES:
        theirs = yaml.safe_load_all(must(cluster.run("kubectl", "kustomize", str(OVERLAYS / name))))
        assert by_key(theirs) == by_key(rendered(OVERLAYS / name))


def by_key(documents):
    return {(each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]): each for each in documents}


BROKEN = {
    ("VirtualService", "orders"): lambda spec: spec["http"][0].update(timeoutt="1s"),
    ("AuthorizationPolicy", "orders"): lambda spec: spec.update(action="PERMIT"),
    ("DestinationRule", "orders"): lambda spec: spec["trafficPolicy"]["outlierDetection"].update(interval="soon"),
    ("PeerAuthentication", "strict"): lambda spec: spec["mtls"].update(mode="STRICTEST"),
    ("Deployment", "orders"): lambda spec: spec["template"]["spec"]["containers"][0].update(name="Orders!"),
    ("NetworkPolicy", "orders"): lambda spec: spec["ingress"][0]["ports"][0].update(port=70_000),
}
"""What none of the kinds allows; the first four are Istio's."""

MISSING = {
    "subset": (("VirtualService", "orders"), lambda spec: spec["http"][0]["route"][0]["destination"].update(subset="v2")),
    "host": (("VirtualService", "shop"), lambda spec: spec["http"][0]["route"][0]["destination"].update(host="egde")),
    "gateway": (("VirtualService", "shop"), lambda spec: spec.update(gateways=["back-door"])),
    "certificate": (("Gateway", "shop"), lambda spec: spec["servers"][0]["tls"].update(credentialName="expired")),
    "pods": (("AuthorizationPolicy", "orders"), lambda spec: spec["selector"]["matchLabels"].update({"app.kubernetes.io/name": "order"})),
}
"""References to what isn't there, each valid by itself."""


@pytest.fixture
def dev():
    return rendered(OVERLAYS / "dev")


def changed(documents, key, change):
    [document] = chosen(documents, key)
    change(document["spec"])
    return document


@pytest.mark.parametrize("key", BROKEN)
def test_an_api_server_refuses_what_is_broken(cluster, dev, key):
    must(tried(cluster, chosen(dev, key)))

    assert tried(cluster, [changed(dev, key, BROKEN[key])]).returncode != 0


@pytest.mark.parametrize("key", [*BROKEN][:4])
def test_istio_refuses_what_is_broken(cluster, tmp_path, dev, key):
    assert validated(cluster, tmp_path, [changed(dev, key, BROKEN[key])]).returncode != 0


@pytest.mark.parametrize("what", MISSING)
def test_istio_misses_what_is_not_there(cluster, tmp_path, dev, what):
    changed(dev, *MISSING[what])

    assert analyzed(cluster, tmp_path, dev).returncode != 0
