"""Who stands behind the edge: workers that run every service each, or each service by itself.

Each has two clusters. The one beside it is for what may be shed, and has so few places that what matters more always gets through to the
same workers: their queue is never longer than what it may hold of the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.headers import TYPES
from gateway.methods import WORKERS, Method

COLLECTOR = "collector"
"""The cluster that takes the edge's spans."""

AT_ONCE = 128
"""Calls of priority 2 that have a place; half as many of priority 3 have another one. Two workers answer some 800 calls a second, so what
is in front of a call of priority 1 is done in a quarter of a second; and whoever answers within 20 ms still gets 6,400 a second.
"""
SHEDDABLE = "-sheddable"
"""Ends the name of a cluster for what may be shed."""

LIMITS = {"max_connections": 1024, "max_pending_requests": 10_000, "max_requests": 10_000, "max_retries": 100}


def way(method: Method) -> dict[str, Any]:
    """Where a route leads. Streams take no place: they last for hours, and most of that time nothing is to be done for them."""
    if method.priority == 1 or method.is_stream:
        return {"cluster": method.cluster}
    # Envoy's word for the second of a cluster's two sets of limits; nothing goes ahead of anything by it.
    second = {"priority": "HIGH"} if method.priority == 3 else {}
    return {"cluster": method.cluster + SHEDDABLE, **second}


def with_sheddable(cluster: dict[str, Any], at_once: int) -> list[dict[str, Any]]:
    """A cluster, and its like for what may be shed.

    Args:
        at_once: calls of priority 2 that have a place there.
    """
    return [cluster, {**cluster, "name": cluster["name"] + SHEDDABLE, "circuit_breakers": places(at_once)}]


def places(at_once: int) -> dict[str, Any]:
    """The `circuit_breakers` of a cluster for what may be shed."""
    numbers = {"DEFAULT": at_once, "HIGH": at_once // 2}
    return {"thresholds": [{**LIMITS, "priority": priority, "max_requests": number} for priority, number in numbers.items()]}


def workers(sockets: Sequence[str]) -> dict[str, Any]:
    """The cluster of a machine's workers, by their unix sockets."""
    health = {
        "timeout": "2s",
        "interval": "1s",
        "no_traffic_interval": "1s",
        "unhealthy_threshold": 2,
        "healthy_threshold": 1,
        "grpc_health_check": {},
    }
    return {
        **_cluster(WORKERS, "STATIC", [{"pipe": {"path": socket}} for socket in sockets]),
        "lb_policy": "LEAST_REQUEST",
        # With so much to do that none of them answers in time, they are asked all the same: late is better than never.
        "common_lb_config": {"healthy_panic_threshold": {"value": 1}},
        "health_checks": [health],
    }


def named(name: str, address: str) -> dict[str, Any]:
    """A cluster behind one name, `host:port`, that somebody else balances: a Kubernetes Service, and the mesh."""
    host, _, port = address.rpartition(":")
    return _cluster(name, "STRICT_DNS", [{"socket_address": {"address": host, "port_value": int(port)}}])


def _cluster(name: str, kind: str, addresses: Sequence[dict[str, Any]]) -> dict[str, Any]:
    endpoints = [{"endpoint": {"address": address}} for address in addresses]
    return {
        "name": name,
        "type": kind,
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
        "circuit_breakers": {"thresholds": [LIMITS]},
        "typed_extension_protocol_options": _http2(),
    }


def _http2() -> dict[str, Any]:
    """A cluster's `typed_extension_protocol_options`."""
    windows = {"initial_stream_window_size": 2**18, "initial_connection_window_size": 2**22}
    options = {"@type": TYPES + "upstreams.http.v3.HttpProtocolOptions", "explicit_http_config": {"http2_protocol_options": windows}}
    return {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options}
