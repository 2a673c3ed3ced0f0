"""How a service grows with what there is to do, and how many of it stay when nodes go."""

from __future__ import annotations

from tools.cluster import NAMESPACE
from tools.cluster.facts import Fact
from tools.cluster.istio import Document, document
from tools.cluster.workloads import BACKLOG, CERTIFICATES, SERVE, WORK, deployment_name, pod_labels

CPU_PERCENT = 65
"""Of what is requested."""


def autoscalers(fact: Fact) -> list[Document]:
    """By CPU for those that answer; by what waits for them, for those that work on events. The rest of the workers elect one that leads."""
    found = [by_cpu(fact.name, 2, 4)]
    if fact.groups:
        found += [backlog_access(fact), by_backlog(fact)]
    elif fact.works:
        found.append(by_cpu(deployment_name(fact.name, WORK), 2, 2))
    return found


def by_cpu(name: str, least: int, most: int) -> Document:
    """A Deployment's HorizontalPodAutoscaler: up at once, down slowly."""
    metric = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": CPU_PERCENT}}}
    up = {"stabilizationWindowSeconds": 0, "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}]}
    down = {"stabilizationWindowSeconds": 300, "policies": [{"type": "Percent", "value": 10, "periodSeconds": 60}]}
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
        "minReplicas": least,
        "maxReplicas": most,
        "metrics": [metric],
        "behavior": {"scaleUp": up, "scaleDown": down},
    }
    return document("autoscaling/v2", "HorizontalPodAutoscaler", name, spec)


def backlog_access(fact: Fact) -> Document:
    """How KEDA may ask Pulsar what waits: as the service itself."""
    token = {"parameter": "bearerToken", "name": f"pulsar-{fact.name}", "key": "token"}
    authority = {"parameter": "ca", "name": CERTIFICATES["pulsar"], "key": "ca.crt"}
    return document("keda.sh/v1alpha1", "TriggerAuthentication", deployment_name(fact.name, WORK), {"secretTargetRef": [token, authority]})


def by_backlog(fact: Fact) -> Document:
    """KEDA's ScaledObject: the events that wait in Pulsar for each of the service's groups."""
    name = deployment_name(fact.name, WORK)
    triggers = [
        {
            "type": "pulsar",
            "metadata": {
                # KEDA asks from its own namespace.
                "adminURL": f"https://pulsar-broker.{NAMESPACE}.svc.cluster.local:8443",
                "topic": f"persistent://bazaar/shop/{group.topic}",
                "isPartitionedTopic": "true",
                "subscription": group.name,
                "msgBacklogThreshold": str(BACKLOG),
                "authModes": "bearer",
            },
            "authenticationRef": {"name": name},
        }
        for group in fact.groups
    ]
    return document(
        "keda.sh/v1alpha1",
        "ScaledObject",
        name,
        {"scaleTargetRef": {"name": name}, "minReplicaCount": 2, "maxReplicaCount": 8, "triggers": triggers},
    )


def disruption_budgets(fact: Fact) -> list[Document]:
    """One of five may go at a time; of the workers one, since the others take over."""
    roles = [(SERVE, "20%"), *([(WORK, 1)] if fact.works else [])]
    return [
        document(
            "policy/v1",
            "PodDisruptionBudget",
            deployment_name(fact.name, role),
            {"maxUnavailable": most, "unhealthyPodEvictionPolicy": "AlwaysAllow", "selector": {"matchLabels": pod_labels(fact.name, role)}},
        )
        for role, most in roles
    ]
