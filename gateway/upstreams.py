"""Who stands behind the edge: workers that run every service each, or each service by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.headers import TYPES
from gateway.methods import WORKERS

COLLECTOR = "collector"
"""The cluster that takes the edge's spans."""

LIMITS = {"thresholds": [{"max_connections": 1024, "max_pending_requests": 10000, "max_requests": 10000, "max_retries": 100}]}


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
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
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
        "circuit_breakers": LIMITS,
        "typed_extension_protocol_options": http2(),
    }


def http2() -> dict[str, Any]:
    """A cluster's `typed_extension_protocol_options`."""
    windows = {"initial_stream_window_size": 2**18, "initial_connection_window_size": 2**22}
    options = {"@type": TYPES + "upstreams.http.v3.HttpProtocolOptions", "explicit_http_config": {"http2_protocol_options": windows}}
    return {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options}
