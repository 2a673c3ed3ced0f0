"""Envoy's clusters in the mesh: one from each caller to each callee, and one from each sidecar to its own service."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gateway.headers import TYPES
from gateway.upstreams import SHEDDABLE
from mesh.local import tls
from mesh.local.authority import LIFE
from mesh.local.places import EDGE, Places

CONNECTION_SECONDS = LIFE.total_seconds() / 4
"""A connection takes no more calls after that, and the next one shows the certificate of its day."""

MOST_CALLS, MOST_CALLS_OF_THE_EDGE = 500, 1000
"""Calls that one caller may have waiting for one callee; the next fails at once (UNAVAILABLE), so that a slow callee slows nobody else."""
MOST_STREAMS = 10_000
"""Long-lived ones; they are counted apart (Envoy's priority HIGH)."""
MOST_RETRIES = 1000


def name(caller: str, callee: str) -> str:
    """The way from one service to another."""
    return f"{caller}-to-{callee}"


def between(places: Places, caller: str, callee: str) -> dict[str, Any]:
    """Calls one service in another's name, over mTLS."""
    most = MOST_CALLS_OF_THE_EDGE if caller == EDGE else MOST_CALLS
    return {
        **_cluster(name(caller, callee), places.inbound(callee), most),
        "transport_socket": tls.outbound(places, caller, callee),
        "outlier_detection": _outliers(),
        "typed_extension_protocol_options": _http2(CONNECTION_SECONDS),
    }


def sheddable(places: Places, callee: str, breakers: dict[str, Any]) -> dict[str, Any]:
    """The edge's way to a service for what may be shed.

    Args:
        breakers: its `circuit_breakers`.
    """
    cluster = between(places, EDGE, callee)
    return {**cluster, "name": cluster["name"] + SHEDDABLE, "circuit_breakers": breakers}


def app(places: Places, service: str) -> dict[str, Any]:
    """The sidecar's way to its own service. What comes here has passed the rules; how much of it there may be, the service knows itself."""
    return {
        **_cluster(f"app-{service}", places.app(service), MOST_STREAMS),
        "typed_extension_protocol_options": _http2(None),
    }


def _cluster(name: str, socket: Path, most: int) -> dict[str, Any]:
    thresholds = [
        {"priority": "DEFAULT", "max_connections": 1024, "max_pending_requests": most, "max_requests": most, "max_retries": MOST_RETRIES},
        {"priority": "HIGH", "max_connections": 1024, "max_pending_requests": MOST_STREAMS, "max_requests": MOST_STREAMS},
    ]
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": str(socket)}}}}]}],
        },
        # Of a single host, the default would call even the one that was put aside.
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        "circuit_breakers": {"thresholds": thresholds},
    }


def _outliers() -> dict[str, Any]:
    """Puts a callee aside that has failed nine calls in ten for a while: its callers are answered at once, and it can recover.

    Not after a few failures in a row, as is usual with many hosts: one that is killed fails all that it had under way at once, and is back
    within seconds, for which calls wait.
    """
    return {
        "interval": "5s",
        "base_ejection_time": "2s",
        "max_ejection_time": "10s",
        "max_ejection_percent": 100,
        "enforcing_consecutive_5xx": 0,
        "enforcing_consecutive_gateway_failure": 0,
        "enforcing_success_rate": 0,
        "enforcing_failure_percentage": 100,
        "failure_percentage_threshold": 90,
        "failure_percentage_minimum_hosts": 1,
        "failure_percentage_request_volume": 20,
    }


def _http2(connection_seconds: float | None) -> dict[str, Any]:
    windows = {"initial_stream_window_size": 2**18, "initial_connection_window_size": 2**22}
    options: dict[str, Any] = {
        "@type": TYPES + "upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": windows},
    }
    if connection_seconds:
        options["common_http_protocol_options"] = {"max_connection_duration": f"{connection_seconds:.0f}s"}
    return {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options}
