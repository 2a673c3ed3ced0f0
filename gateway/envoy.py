"""Envoy's whole configuration as the edge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.browsers import compressors, cors_filter
from gateway.cache import cache_filter
from gateway.errors import local_replies, problems
from gateway.headers import (
    TYPES,
    clean_rest_answers,
    drop_request_trailers,
    event_ids,
    http_filter,
    keep_nothing,
    right_status,
    strip_internal_headers,
)
from gateway.limits import CLAIMS
from gateway.methods import WORKERS, Method
from gateway.pages import MOST_BYTES, Page
from gateway.routes import ANYONE, USER, virtual_host
from gateway.settings import EdgeSettings
from gateway.shedding import counts_shed, remembers_refusals, runtime_layer
from gateway.tls import strict_transport, transport_socket
from gateway.upstreams import COLLECTOR, named, with_sheddable, workers
from services.kit.telemetry.calls import SAMPLED_METADATA, SAMPLED_TAG

ISSUER, AUDIENCE = "https://bazaar.dev", "bazaar"
BODY_BYTES = 2**20
MAX_CONNECTIONS = 10_000
ANSWER_BYTES = 16 * 2**20

CONNECTION_MANAGER = TYPES + "filters.network.http_connection_manager.v3.HttpConnectionManager"


@dataclass(frozen=True)
class Edge:
    """Where things are."""

    port: int
    tls_port: int
    """0: there is none, since another proxy takes TLS off."""
    certificate: Path
    """The file that says where the certificate is (`tls.write_secret`)."""
    workers: Sequence[str]
    """The workers' unix sockets; none: each service has an address of its own (`settings.addresses`)."""
    jwks: Path
    descriptors: Path
    counting: str
    """The cluster whose members count for all edges what the limits let pass."""
    shedding: Path
    """The file that says what is shed (`shedding.write_level`)."""
    admin: Path
    """The unix socket of Envoy's own administration."""
    access_log: Path | None
    """None: standard output."""
    settings: EdgeSettings = field(default_factory=EdgeSettings)
    pages: Sequence[Page] = ()
    """Files that the edge answers with by itself."""


def configuration(edge: Edge, methods: Sequence[Method]) -> dict[str, Any]:
    """The bootstrap document."""
    return {
        "node": {"id": "edge", "cluster": "bazaar"},
        "admin": {"address": {"pipe": {"path": str(edge.admin), "mode": 0o600}}},
        "overload_manager": _connection_cap(),
        "layered_runtime": {"layers": [{"name": "static", "static_layer": _span_batches()}, runtime_layer(edge.shedding)]},
        "static_resources": {"listeners": _listeners(edge, methods), "clusters": _upstreams(edge)},
    }


def _listeners(edge: Edge, methods: Sequence[Method]) -> list[dict[str, Any]]:
    host, is_strict = edge.settings.host, edge.settings.has_certificate
    plain = _listener("edge", host, edge.port, _http(edge, methods))
    if not edge.tls_port:
        return [plain]
    return [plain, _listener("edge-tls", host, edge.tls_port, _http(edge, methods, is_strict=is_strict), edge.certificate)]


def _upstreams(edge: Edge) -> list[dict[str, Any]]:
    services = [named(name, address) for name, address in sorted(edge.settings.addresses.items())]
    behind = [workers(edge.workers)] if edge.workers else services
    collector = [named(COLLECTOR, edge.settings.collector)] if edge.settings.collector else []
    return [*(each for cluster in behind for each in with_sheddable(cluster, edge.settings.shed_at_once)), *collector]


def _span_batches() -> dict[str, Any]:
    """Spans go out twice a second, or 500 at once: by default that would be every five of them, or after five seconds."""
    return {"tracing.opentelemetry.flush_interval_ms": 500, "tracing.opentelemetry.min_flush_spans": 500}


def _connection_cap() -> dict[str, Any]:
    monitor = "envoy.resource_monitors.global_downstream_max_connections"
    config = {
        "@type": TYPES + "resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
        "max_active_downstream_connections": MAX_CONNECTIONS,
    }
    return {"resource_monitors": [{"name": monitor, "typed_config": config}]}


def _listener(name: str, host: str, port: int, connection_manager: dict[str, Any], certificate: Path | None = None) -> dict[str, Any]:
    chain: dict[str, Any] = {"filters": [{"name": "http", "typed_config": connection_manager}]}
    if certificate:
        chain["transport_socket"] = transport_socket(certificate)
    return {
        "name": name,
        "address": {"socket_address": {"address": host, "port_value": port}},
        # Two processes must never share the port silently.
        "enable_reuse_port": False,
        "per_connection_buffer_limit_bytes": BODY_BYTES,
        # A client that never finishes its handshake is gone after this.
        "filter_chains": [{**chain, "transport_socket_connect_timeout": "10s"}],
    }


def _http(edge: Edge, methods: Sequence[Method], *, is_strict: bool = False) -> dict[str, Any]:
    """The connection manager. Strict: it tells browsers to come by TLS alone."""
    return {
        "@type": CONNECTION_MANAGER,
        "stat_prefix": "edge",
        "server_name": "bazaar",
        "use_remote_address": True,
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "max_request_headers_kb": 32,
        "common_http_protocol_options": {
            "idle_timeout": "300s",
            "max_headers_count": 100,
            "headers_with_underscores_action": "DROP_HEADER",
        },
        "http2_protocol_options": {
            "max_concurrent_streams": 1024,
            "initial_stream_window_size": 2**18,
            "initial_connection_window_size": 2**22,
        },
        # A client has this long to send its headers, and its whole request.
        "request_headers_timeout": "10s",
        "request_timeout": "30s",
        "stream_idle_timeout": "60s",
        "early_header_mutation_extensions": [strip_internal_headers()],
        "local_reply_config": local_replies(),
        **_tracing(edge),
        "access_log": [_access_log(edge.access_log, is_full=edge.settings.logs_all), counts_shed()],
        "http_filters": [*([strict_transport()] if is_strict else []), *_filters(edge, methods)],
        "route_config": {
            "name": "edge",
            "virtual_hosts": [virtual_host(methods, edge.settings.limiting, edge.settings.cors_origins, edge.pages)],
            "max_direct_response_body_size_bytes": MOST_BYTES,
        },
    }


def _filters(edge: Edge, methods: Sequence[Method]) -> list[dict[str, Any]]:
    return [
        # First, because it must have seen the request before another filter answers it.
        clean_rest_answers(),
        drop_request_trailers(),
        keep_nothing(),
        http_filter("health_check", "HealthCheck", pass_through_mode=False, **_health(edge)),
        cors_filter(),
        *compressors(),
        problems(),
        right_status(),
        event_ids(),
        # Before the tokens' check, which takes the token away: by it the cache knows whose answer isn't everybody's.
        cache_filter(),
        # Before what costs most: in a rush there is more to refuse than to answer.
        remembers_refusals(),
        http_filter("jwt_authn", "JwtAuthentication", **_tokens(edge.jwks)),
        *edge.settings.limiting.filters(edge.counting),
        http_filter("grpc_web", "GrpcWeb"),
        http_filter("connect_grpc_bridge", "FilterConfig"),
        http_filter("buffer", "Buffer", max_request_bytes=BODY_BYTES),
        http_filter("grpc_json_transcoder", "GrpcJsonTranscoder", **_transcoder(edge.descriptors, methods)),
        http_filter("router", "Router", suppress_envoy_headers=True),
    ]


def _health(edge: Edge) -> dict[str, Any]:
    """GET /healthz: 200 while one worker in a hundred is healthy. Services of their own say themselves how they are."""
    path = {"headers": [{"name": ":path", "string_match": {"exact": "/healthz"}}]}
    return {**path, "cluster_min_healthy_percentages": {WORKERS: {"value": 1}}} if edge.workers else path


def _tokens(jwks: Path) -> dict[str, Any]:
    """Each route says whether it needs a token; one that came is checked in any case."""
    provider = {
        "issuer": ISSUER,
        "audiences": [AUDIENCE],
        "local_jwks": {"filename": str(jwks)},
        # Named, because the default would take tokens from the query string too, and those end up in logs.
        "from_headers": [{"name": "Authorization", "value_prefix": "Bearer "}],
        "forward_payload_header": "x-bazaar-user",
        "payload_in_metadata": CLAIMS,
        "require_expiration": True,
        "clock_skew_seconds": 1,
        # 5,000 verified tokens are remembered: a signature costs more than all the rest of this filter.
        "jwt_cache_config": {"jwt_cache_size": 5000},
    }
    checked = {"provider_name": "bazaar"}
    return {
        "providers": {"bazaar": provider},
        "requirement_map": {USER: checked, ANYONE: {"requires_any": {"requirements": [checked, {"allow_missing": {}}]}}},
    }


def _transcoder(descriptors: Path, methods: Sequence[Method]) -> dict[str, Any]:
    services = sorted({method.service for method in methods if method.is_open and method.bindings})
    return {
        "proto_descriptor": str(descriptors),
        "services": services,
        "convert_grpc_status": True,
        "request_validation_options": {
            "reject_unknown_method": True,
            "reject_unknown_query_parameters": True,
            "reject_binding_body_field_collisions": True,
        },
        "print_options": {"always_print_primitive_fields": True, "stream_sse_style_delimited": True},
        "max_request_body_size": 2 * 4 * 2**20,
        "max_response_body_size": ANSWER_BYTES,
    }


def _tracing(edge: Edge) -> dict[str, Any]:
    """The workers keep the edge's spans themselves; elsewhere a collector does, if there is one."""
    cluster = COLLECTOR if edge.settings.collector else WORKERS if edge.workers else ""
    if not cluster:
        return {}
    exporter = {
        "@type": "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig",
        "service_name": "edge",
        "grpc_service": {"envoy_grpc": {"cluster_name": cluster}, "timeout": "1s"},
    }
    tracing = {
        "provider": {"name": "envoy.tracers.opentelemetry", "typed_config": exporter},
        "random_sampling": {"value": sampled_percent(edge.settings.trace_sampling)},
        "client_sampling": {"value": 0},
        "spawn_upstream_span": False,
        # Where no ratio is set, the worker that answers says whether the trace is kept (services/kit/telemetry/calls.py).
        "custom_tags": [{"tag": SAMPLED_TAG, "value": f"%TRAILER({SAMPLED_METADATA})%%RESP({SAMPLED_METADATA})%"}],
    }
    return {"tracing": tracing}


def sampled_percent(text: str) -> float:
    """BAZAAR_TRACE_SAMPLING as a percentage; unset, the edge marks every call and the workers thin them out."""
    return 100.0 if text in ("", "all") else 100.0 * float(text)


def _access_log(path: Path | None, *, is_full: bool) -> dict[str, Any]:
    """Failures only, unless all are wanted. No paths, query strings, addresses or agents: they may be personal."""
    line = {
        "time": "%START_TIME%",
        "method": "%REQ(X-ENVOY-ORIGINAL-METHOD?:METHOD)%",
        "route": "%ROUTE_NAME%",
        "status": "%RESPONSE_CODE%",
        "flags": "%RESPONSE_FLAGS%",
        "details": "%RESPONSE_CODE_DETAILS%",
        "milliseconds": "%DURATION%",
        "trace_id": "%TRACE_ID%",
    }
    least = 0 if is_full else 500
    text = {"log_format": {"json_format": line}}
    file = {"@type": TYPES + "access_loggers.file.v3.FileAccessLog", "path": str(path), **text}
    output = {"@type": TYPES + "access_loggers.stream.v3.StdoutAccessLog", **text}
    return {
        "name": "file" if path else "output",
        "filter": {"status_code_filter": {"comparison": {"op": "GE", "value": {"default_value": least, "runtime_key": "unset"}}}},
        "typed_config": file if path else output,
    }
