"""Istio's side of the policy: who may call a method, how long a call may take, how often it is tried."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gateway.methods import Method
from gateway.routes import DEFAULT_SECONDS, GRACE_SECONDS, MAY_HAVE_RUN
from services.kit.auth import EDGE
from services.kit.limits.edge import SERVICE_NAME
from tools.cluster import NAMESPACE, PORT, TRUST_DOMAIN
from tools.cluster.facts import Fact, callees, is_read, spelled_out

CALLER = "request.headers[x-bazaar-caller]"
"""What a caller says it is, and the services believe; the mesh lets each identity say its own name alone."""

COUNTS = f"/{SERVICE_NAME}/ShouldRateLimit"
FAIL_OVER = ("topology.kubernetes.io/region", "topology.kubernetes.io/zone")

Document = dict[str, Any]


def principal(account: str) -> str:
    """A service account's SPIFFE identity, as Istio writes it."""
    return f"{TRUST_DOMAIN}/ns/{NAMESPACE}/sa/{account}"


def rules(fact: Fact) -> list[Document]:
    """What the policy grants at one service: a rule for each set of identities, with all methods that it may call."""
    granted: dict[str, list[str]] = {}
    for path, callers in sorted(fact.callers.items()):
        for caller in callers:
            granted.setdefault(caller, []).append(path)
    return [
        {
            "from": [{"source": {"principals": [principal(account) for account in spelled_out(caller)]}}],
            "to": [{"operation": {"methods": ["POST"], "paths": paths}}],
            "when": [{"key": CALLER, "values": [caller]}],
        }
        for caller, paths in sorted(granted.items())
    ]


def authorization(fact: Fact, *, at_waypoint: bool) -> Document:
    """One service's AuthorizationPolicy: in its sidecar, or where there is none, at the waypoint in front of it."""
    return _allowing(fact, fact.name, rules(fact), at_waypoint=at_waypoint)


def counting(fact: Fact, *, at_waypoint: bool) -> Document:
    """Lets the edge ask what its limits may let pass. It asks as Envoy does, which names no caller."""
    rule = {"from": [{"source": {"principals": [principal(EDGE)]}}], "to": [{"operation": {"methods": ["POST"], "paths": [COUNTS]}}]}
    return _allowing(fact, f"{fact.name}-counts", [rule], at_waypoint=at_waypoint)


def _allowing(fact: Fact, name: str, rules: Sequence[Document], *, at_waypoint: bool) -> Document:
    where = {"targetRefs": [{"kind": "Service", "group": "", "name": fact.name}]} if at_waypoint else {"selector": selector(fact.name)}
    return document("security.istio.io/v1", "AuthorizationPolicy", name, {**where, "action": "ALLOW", "rules": rules})


def through_waypoint(fact: Fact) -> Document:
    """Past the waypoint, which knows the methods, nobody gets to a service."""
    rule = {"from": [{"source": {"principals": [principal("waypoint")]}}]}
    spec = {"selector": selector(fact.name), "action": "ALLOW", "rules": [rule]}
    return document("security.istio.io/v1", "AuthorizationPolicy", f"{fact.name}-waypoint", spec)


def routes(fact: Fact) -> Document:
    """One service's VirtualService: methods that are alike share a route, named for what they have in common."""
    alike: dict[tuple[str, str], list[Method]] = {}
    for method in fact.methods:
        alike.setdefault((_kind(method), _timeout(method)), []).append(method)
    known = [_route(fact.name, kind, timeout, group) for (kind, timeout), group in sorted(alike.items())]
    # Health and reflection, which are no methods of the policy's.
    rest = {"name": "other", "route": _destination(fact.name), "retries": {"attempts": 0}}
    return document("networking.istio.io/v1", "VirtualService", fact.name, {"hosts": [fact.name], "http": [*known, rest]})


def _kind(method: Method) -> str:
    if method.is_stream:
        return "streams"
    return "reads" if is_read(method) else "repeatable" if method.can_repeat else "once"


def _timeout(method: Method) -> str:
    """As the edge has it: a little later than the service itself gives up. None: a stream lives as long as both sides want."""
    return "" if method.is_stream else f"{(method.timeout_seconds or DEFAULT_SECONDS) + GRACE_SECONDS:g}s"


def _route(name: str, kind: str, timeout: str, methods: Iterable[Method]) -> Document:
    # One attempt more, since edge and services repeat such calls themselves.
    again = {"attempts": 1, "retryOn": MAY_HAVE_RUN, "retryRemoteLocalities": True}
    return {
        "name": f"{kind}-{timeout}" if timeout else kind,
        "match": [{"uri": {"exact": method.path}} for method in methods],
        "route": _destination(name),
        **({"timeout": timeout} if timeout else {}),
        "retries": again if kind in ("reads", "repeatable") else {"attempts": 0},
    }


def _destination(name: str) -> list[Document]:
    return [{"destination": {"host": name, "port": {"number": PORT}}}]


def destination(name: str) -> Document:
    """One service's DestinationRule: how many connections and calls it gets, and when a pod of it gets none."""
    traffic = {
        "connectionPool": {
            "tcp": {"maxConnections": 1024, "connectTimeout": "1s"},
            "http": {"http2MaxRequests": 10_000, "http1MaxPendingRequests": 10_000, "maxRetries": 100, "idleTimeout": "300s"},
        },
        "loadBalancer": {"simple": "LEAST_REQUEST", "localityLbSetting": {"enabled": True, "failoverPriority": list(FAIL_OVER)}},
        "outlierDetection": {
            "consecutiveGatewayErrors": 5,
            "consecutive5xxErrors": 0,
            "interval": "5s",
            "baseEjectionTime": "15s",
            "maxEjectionPercent": 50,
        },
    }
    return document("networking.istio.io/v1", "DestinationRule", name, {"host": name, "trafficPolicy": traffic})


def host(server: str) -> str:
    """The name under which mesh/istio/base/servers.yaml makes a server known to the mesh."""
    return f"{server}.servers.{NAMESPACE}"


def scope(name: str, servers: Iterable[str]) -> Document:
    """What a service's sidecar needs to know of: whom it calls, and the servers that it uses."""
    hosts = [f"./{host}.{NAMESPACE}.svc.{TRUST_DOMAIN}" for host in callees(name)]
    egress = [{"hosts": [*hosts, *(f"./{server}" for server in servers), "istio-system/*"]}]
    return document("networking.istio.io/v1", "Sidecar", name, {"workloadSelector": {"labels": labels(name)}, "egress": egress})


def selector(name: str) -> Document:
    """A service's pods."""
    return {"matchLabels": labels(name)}


def labels(name: str) -> dict[str, str]:
    """What a service's pods are known by."""
    return {"app.kubernetes.io/name": name}


def document(version: str, kind: str, name: str, spec: Mapping[str, Any]) -> Document:
    """A Kubernetes object."""
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": NAMESPACE}, "spec": dict(spec)}


def allowed(documents: Sequence[Document]) -> set[tuple[str, str, str]]:
    """What AuthorizationPolicies let through, as (identity that the call names, service account, method's path)."""
    return {
        (caller, account.rpartition("/")[2], path)
        for document in documents
        for rule in document["spec"].get("rules", [])
        for source in rule["from"]
        for account in source["source"]["principals"]
        for operation in rule.get("to", [])
        for path in operation["operation"]["paths"]
        for condition in rule["when"]
        for caller in condition["values"]
    }
