"""PostgreSQL (CloudNativePG): a service's own, of which it alone has the password.

A primary, and standbys spread evenly over three zones. A commit is answered once it is on as many standbys as a zone holds instances at
most, so on one in another zone; and no standby takes over unless it is sure to have every such commit.
"""

from __future__ import annotations

from tools.cluster.facts import Fact
from tools.cluster.istio import Document, document

CLUSTER = "cnpg.io/cluster"
"""The label by which an instance says whose it is."""


def name(service: str) -> str:
    """Of a service's PostgreSQL, and of the Secret with its password."""
    return f"postgres-{service}"


def cluster(fact: Fact) -> Document:
    """As large as it is by default; overlays say how many there are, and how much they take."""
    role = f"bazaar_{fact.name}"
    spec = {
        "instances": 3,
        "imageCatalogRef": {"apiGroup": "postgresql.cnpg.io", "kind": "ClusterImageCatalog", "name": "postgresql", "major": 18},
        "bootstrap": {"initdb": {"database": role, "owner": role, "secret": {"name": name(fact.name)}}},
        "enablePDB": True,
        "primaryUpdateStrategy": "unsupervised",
        "postgresql": {
            "synchronous": {"method": "any", "number": 1, "dataDurability": "required", "failoverQuorum": True},
            "parameters": {"max_connections": "100", "shared_buffers": "2GB"},
        },
        "affinity": {"enablePodAntiAffinity": True, "podAntiAffinityType": "required", "topologyKey": "kubernetes.io/hostname"},
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "topology.kubernetes.io/zone",
                "whenUnsatisfiable": "DoNotSchedule",
                "labelSelector": {"matchLabels": {CLUSTER: name(fact.name), "cnpg.io/podRole": "instance"}},
            }
        ],
        "resources": {"requests": {"cpu": "1", "memory": "8Gi"}, "limits": {"memory": "8Gi"}},
        "storage": {"size": "100Gi"},
        "walStorage": {"size": "20Gi"},
    }
    return document("postgresql.cnpg.io/v1", "Cluster", name(fact.name), spec)
