"""What browsers need: who may call from other origins (CORS), and answers that are compressed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.headers import TYPES, http_filter

CORS = "envoy.filters.http.cors"

SENT = (
    "authorization",
    "connect-protocol-version",
    "connect-timeout-ms",
    "content-type",
    "grpc-timeout",
    "idempotency-key",
    "if-match",
    "if-none-match",
    "last-event-id",
    "traceparent",
    "x-grpc-web",
    "x-user-agent",
)
"""Headers that a page may send."""

SHOWN = (
    *("etag", "grpc-message", "grpc-status", "grpc-status-details-bin", "location", "retry-after"),
    *("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"),
)
"""Headers of answers that a page may read, besides those that it always may."""

SMALLEST_BYTES = 1_000
"""Below that, compressing costs more than it saves."""

COMPRESSED = ("application/json", "application/problem+json", "text/css", "text/html", "text/javascript")


def cors_policy(origins: Sequence[str]) -> dict[str, Any]:
    """A virtual host's `typed_per_filter_config`. Tokens travel in a header, so that no page needs cookies to be sent along."""
    matchers = [{"safe_regex": {"regex": ".*"}} if origin == "*" else {"exact": origin} for origin in origins]
    policy = {
        "@type": TYPES + "filters.http.cors.v3.CorsPolicy",
        "allow_origin_string_match": matchers,
        "allow_methods": "GET, POST, PUT, PATCH, DELETE",
        "allow_headers": ", ".join(SENT),
        "expose_headers": ", ".join(SHOWN),
        "max_age": "7200",
    }
    return {CORS: policy}


def preflight_route(cluster: str) -> dict[str, Any]:
    """Where a browser asks whether it may. The CORS filter answers before the route is taken, and no other filter lets such a call pass."""
    asked = {"name": "access-control-request-method", "present_match": True}
    options = {"name": ":method", "string_match": {"exact": "OPTIONS"}}
    return {"name": "preflight", "match": {"prefix": "/", "headers": [options, asked]}, "route": {"cluster": cluster}}


def cors_filter() -> dict[str, Any]:
    return http_filter("cors", "Cors")


def compressors() -> list[dict[str, Any]]:
    """Brotli where the client takes it, else gzip."""
    return [
        _compressor("brotli", "compression.brotli.compressor.v3.Brotli", quality=4, window_bits=16),
        _compressor("gzip", "compression.gzip.compressor.v3.Gzip", compression_level="COMPRESSION_LEVEL_3"),
    ]


def _compressor(name: str, message: str, **options: Any) -> dict[str, Any]:
    library = {"name": name, "typed_config": {"@type": TYPES + message, **options}}
    common = {"min_content_length": SMALLEST_BYTES, "content_type": list(COMPRESSED)}
    config = {"compressor_library": library, "response_direction_config": {"common_config": common}, "choose_first": name == "brotli"}
    return {**http_filter("compressor", "Compressor", **config), "name": f"envoy.filters.http.compressor.{name}"}
