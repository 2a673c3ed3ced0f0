"""NetworkPolicies: below the mesh, only who may call can connect."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tools.cluster import PORT, postgres
from tools.cluster.facts import Fact, callees, facts
from tools.cluster.istio import Document, document, labels


@dataclass(frozen=True)
class Server:
    """The pods of one kind of server."""

    answer: Mapping[str, str]
    """The labels of those that services connect to."""
    ports: Sequence[int]
    all: Mapping[str, str]
    """The labels of every one, which speak to each other."""
    operators: Sequence[str] = ()
    """The namespaces of what looks after them."""


SERVERS = {
    "pulsar": Server({"app": "pulsar-broker"}, [6651, 8443], {"app.kubernetes.io/part-of": "pulsar"}, ["keda"]),
    "redis": Server({"redis_setup_type": "cluster"}, [6379], {"redis_setup_type": "cluster"}, ["ot-operators"]),
    "mongo": Server(
        {"app.kubernetes.io/instance": "mongo", "app.kubernetes.io/component": "mongos"},
        [27017],
        {"app.kubernetes.io/instance": "mongo"},
        ["psmdb-operator"],
    ),
    "opensearch": Server(
        {"app.kubernetes.io/part-of": "opensearch"}, [9200], {"app.kubernetes.io/part-of": "opensearch"}, ["opensearch-operator-system"]
    ),
}
"""Those that services share."""
KUBERNETES = (443, 6443)
"""Where operators' pods ask Kubernetes how things are."""


def policy(fact: Fact) -> Document:
    """One service's: in from those that may call it, out to those that it calls and the servers that it uses."""
    spec = {
        "podSelector": {"matchLabels": labels(fact.name)},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"from": [_pods(labels(name)) for name in fact.called_by], "ports": [_port(PORT)]}],
        "egress": egress(fact),
    }
    return document("networking.k8s.io/v1", "NetworkPolicy", fact.name, spec)


def server_policies() -> list[Document]:
    """Each server's: in from the services that use it, its own pods and what looks after them; out to its own pods and to Kubernetes."""
    shared = [(name, server, [fact for fact in facts() if name in fact.servers]) for name, server in SERVERS.items()]
    own = [(postgres.name(fact.name), _postgres(fact), [fact]) for fact in facts() if fact.has_database]
    return [document("networking.k8s.io/v1", "NetworkPolicy", name, _around(server, users)) for name, server, users in [*shared, *own]]


def _postgres(fact: Fact) -> Server:
    instances = {postgres.CLUSTER: postgres.name(fact.name)}
    return Server(instances, [5432], instances, ["cnpg-system"])


def _around(server: Server, users: Iterable[Fact]) -> Document:
    operators = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}} for namespace in server.operators]
    services = [_pods(labels(fact.name)) for fact in users]
    return {
        "podSelector": {"matchLabels": dict(server.all)},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"from": services, "ports": [_port(port) for port in server.ports]}, {"from": [_pods(server.all), *operators]}],
        "egress": [{"to": [_pods(server.all)]}, {"ports": [_port(port) for port in KUBERNETES]}],
    }


def egress(fact: Fact) -> list[Document]:
    """To whom it connects."""
    called = [_pods(labels(name)) for name in callees(fact.name)]
    servers = [*([_postgres(fact)] if fact.has_database else []), *(server for name, server in SERVERS.items() if name in fact.servers)]
    return [
        *([{"to": called, "ports": [_port(PORT)]}] if called else []),
        *({"to": [_pods(server.answer)], "ports": [_port(port) for port in server.ports]} for server in servers),
    ]


def _pods(wanted: Mapping[str, str]) -> Document:
    return {"podSelector": {"matchLabels": dict(wanted)}}


def _port(number: int) -> Document:
    return {"protocol": "TCP", "port": number}
