"""The sidecars of all services of one machine, in one Envoy.

A call goes from a service's outbound listener (a socket that it alone is given) over mTLS to the callee's inbound listener, where the rules
are, and from there to the callee's own socket.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gateway.envoy import CONNECTION_MANAGER
from gateway.headers import http_filter
from gateway.methods import Method
from gateway.upstreams import SHEDDABLE
from mesh.local import clusters, tls
from mesh.local.identities import noun_of
from mesh.local.places import EDGE, Places
from mesh.local.rules import RBAC, filter_name

UNARY_SECONDS = 31.0
"""For a method without a time limit of its own; a little longer than the service gives itself, whose answer says more."""
GRACE_SECONDS = 1.0

NEVER_BEGUN = "connect-failure,refused-stream"
"""Failures after which no handler has seen the call: any call may be tried again."""
MAY_HAVE_RUN = f"{NEVER_BEGUN},reset,unavailable,cancelled"
"""A gRPC server that stops cancels what it has not begun yet."""

WAITS = {"num_retries": 30, "retry_back_off": {"base_interval": "0.1s", "max_interval": "1s"}}
"""For a service that is on its way up again: some fifteen seconds, or until the call's deadline."""
ONCE_MORE = {"num_retries": 1, "retry_back_off": {"base_interval": "0.05s", "max_interval": "0.5s"}}


def add_mesh(document: dict[str, Any], places: Places, methods: Sequence[Method], edge_cluster: str) -> None:
    """Puts the sidecars into the edge's configuration, and leads its calls through the mesh.

    Args:
        edge_cluster: where all calls of the edge went so far, with the one beside it. It stays, for spans and for asking who is well.
    """
    resources = document["static_resources"]
    streams = {method.name for method in methods if method.is_stream}
    for route in _routes_to(resources["listeners"], edge_cluster):
        if route.get("name"):
            route["route"]["cluster"] = clusters.name(EDGE, noun_of(route["name"]))
            if route["name"] in streams:
                route["route"]["priority"] = "HIGH"
    [sheddable] = [cluster for cluster in resources["clusters"] if cluster["name"] == edge_cluster + SHEDDABLE]
    resources["clusters"].remove(sheddable)
    for route in _routes_to(resources["listeners"], sheddable["name"]):
        route["route"]["cluster"] = clusters.name(EDGE, noun_of(route["name"])) + SHEDDABLE
    sidecars = sidecars_of(places, methods)
    resources["listeners"] += sidecars["listeners"]
    resources["clusters"] += sidecars["clusters"]
    resources["clusters"] += [clusters.sheddable(places, callee, sheddable["circuit_breakers"]) for callee in places.services]


def sidecars_of(places: Places, methods: Sequence[Method]) -> dict[str, list[Any]]:
    """Listeners and clusters of all services, and of the edge's way in."""
    pairs = [(caller, callee) for caller in places.callers for callee in places.services if caller != callee]
    return {
        "listeners": [
            *(_inbound(places, service) for service in places.services),
            *(_outbound(places, service, methods) for service in places.services),
        ],
        "clusters": [
            *(clusters.between(places, caller, callee) for caller, callee in pairs),
            *(clusters.app(places, service) for service in places.services),
        ],
    }


def _routes_to(part: Any, cluster: str) -> list[dict[str, Any]]:
    """Every route below this part of a document that leads to the cluster."""
    if isinstance(part, list):
        return [route for each in part for route in _routes_to(each, cluster)]
    if not isinstance(part, dict):
        return []
    own = [part] if isinstance(part.get("route"), dict) and part["route"].get("cluster") == cluster else []
    return own + _routes_to(list(part.values()), cluster)


def _inbound(places: Places, service: str) -> dict[str, Any]:
    retry = {"retry_on": NEVER_BEGUN, **WAITS}
    # The caller's sidecar knows how long a call may take.
    to_app = {"match": {"prefix": "/"}, "route": {"cluster": f"app-{service}", "timeout": "0s", "retry_policy": retry}}
    source = {"path_config_source": {"path": str(places.rules(service))}, "resource_api_version": "V3"}
    rules = {"name": filter_name(service), "config_discovery": {"config_source": source, "type_urls": [RBAC]}}
    manager = {
        **_http(f"in-{service}", [to_app], [rules]),
        # Who calls is said by the certificate alone, whatever the call says itself.
        "forward_client_cert_details": "SANITIZE_SET",
        "set_current_client_cert_details": {"uri": True},
    }
    return _listener(f"in-{service}", places.inbound(service), manager, tls.inbound(places, service))


def _outbound(places: Places, service: str, methods: Sequence[Method]) -> dict[str, Any]:
    others = [callee for callee in places.services if callee != service]
    routes = [_call(service, method) for method in methods if noun_of(method.name) in others]
    return _listener(f"out-{service}", places.outbound(service), _http(f"out-{service}", routes, []))


def _call(caller: str, method: Method) -> dict[str, Any]:
    # A stream lives as long as both sides want.
    seconds = (method.timeout_seconds or UNARY_SECONDS - GRACE_SECONDS) + GRACE_SECONDS
    limits = {"timeout": "0s", "priority": "HIGH"} if method.is_stream else {"timeout": f"{seconds:g}s"}
    retry = {"retry_on": MAY_HAVE_RUN if method.can_repeat and not method.is_stream else NEVER_BEGUN, **ONCE_MORE}
    cluster = clusters.name(caller, noun_of(method.name))
    return {"match": {"path": method.path}, "route": {"cluster": cluster, **limits, "retry_policy": retry}}


def _http(name: str, routes: list[dict[str, Any]], filters: list[dict[str, Any]]) -> dict[str, Any]:
    windows = {"initial_stream_window_size": 2**18, "initial_connection_window_size": 2**22}
    return {
        "@type": CONNECTION_MANAGER,
        "stat_prefix": name,
        "codec_type": "HTTP2",
        "http2_protocol_options": {"max_concurrent_streams": clusters.MOST_STREAMS, **windows},
        "stream_idle_timeout": "3600s",
        "generate_request_id": False,
        "skip_xff_append": True,
        "server_header_transformation": "PASS_THROUGH",
        "http_filters": [*filters, http_filter("router", "Router", suppress_envoy_headers=True)],
        "route_config": {"name": name, "virtual_hosts": [{"name": name, "domains": ["*"], "routes": routes}]},
    }


def _listener(name: str, socket: Path, manager: dict[str, Any], transport: dict[str, Any] | None = None) -> dict[str, Any]:
    chain: dict[str, Any] = {"filters": [{"name": "http", "typed_config": manager}]}
    if transport:
        chain |= {"transport_socket": transport, "transport_socket_connect_timeout": "5s"}
    return {"name": name, "address": {"pipe": {"path": str(socket), "mode": 0o600}}, "filter_chains": [chain]}
