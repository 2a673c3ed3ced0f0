"""What the edge must know of the cluster: where each service is. The rest of it is mesh/kubernetes/base/edge.yaml."""

from __future__ import annotations

from gateway.settings import ADDRESS
from services.kit.auth import EDGE
from tools.cluster import NAMESPACE, PORT
from tools.cluster.facts import NOUNS, callees
from tools.cluster.istio import Document, document, labels


def addresses() -> list[Document]:
    """The settings that name every service, and the NetworkPolicy by which those that the edge may call can be reached from it.

    Every service has an address, since the edge refuses the methods that are not for it itself.
    """
    settings = {f"{ADDRESS}{name.upper()}": f"{name}:{PORT}" for name in sorted(NOUNS)}
    metadata = {"name": "edge-addresses", "namespace": NAMESPACE}
    named = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": settings}
    called = [{"podSelector": {"matchLabels": labels(name)}} for name in callees(EDGE)]
    egress = [{"to": called, "ports": [{"protocol": "TCP", "port": PORT}]}]
    out = {"podSelector": {"matchLabels": labels(EDGE)}, "policyTypes": ["Egress"], "egress": egress}
    return [named, document("networking.k8s.io/v1", "NetworkPolicy", "edge-out", out)]
