"""The edge's cache of answers that are good for everybody.

Envoy's cache answers in the place of all filters after it, and fills itself through a cluster: an internal listener with the transcoder,
the router and the routes of what may be cached. A request with a token passes it by.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gateway.headers import TYPES, http_filter
from gateway.methods import Method

FILLING = "filling"
"""The internal listener's name, and its cluster's."""

CACHE_BYTES, CACHE_ENTRIES = 64 * 2**20, 20_000

CACHE = "envoy.filters.http.cache_v2"


def cache_filter(folder: Path) -> dict[str, Any]:
    """What answers from the cache; only for routes that turn it on."""
    files = {
        "@type": TYPES + "http.cache_v2.file_system_http_cache.v3.FileSystemHttpCacheV2Config",
        "manager_config": {"thread_pool": {"thread_count": 1}},
        "cache_path": str(folder),
        "max_cache_size_bytes": CACHE_BYTES,
        "max_cache_entry_count": CACHE_ENTRIES,
    }
    cache = {
        "typed_config": files,
        "override_upstream_cluster": FILLING,
        # Else anyone could have every question asked anew.
        "ignore_request_cache_control_header": True,
    }
    return {**http_filter("cache_v2", "CacheV2Config", **cache), "disabled": True}


def cacheable(methods: Iterable[Method]) -> list[Method]:
    """The methods that the cache is for."""
    return [method for method in methods if method.is_cacheable]


def filling_listener(connection_manager: dict[str, Any]) -> dict[str, Any]:
    """The listener that asks the workers what the cache doesn't hold."""
    filters = [{"name": "http", "typed_config": connection_manager}]
    return {"name": FILLING, "internal_listener": {}, "filter_chains": [{"filters": filters}]}


def filling_cluster(protocol: dict[str, Any]) -> dict[str, Any]:
    """The way from the cache to that listener."""
    address = {"envoy_internal_address": {"server_listener_name": FILLING}}
    return {
        "name": FILLING,
        "type": "STATIC",
        "load_assignment": {"cluster_name": FILLING, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]},
        "typed_extension_protocol_options": protocol,
    }


def internal_listeners() -> dict[str, Any]:
    """The bootstrap extension without which there are none."""
    config = {"@type": TYPES + "bootstrap.internal_listener.v3.InternalListener"}
    return {"name": "envoy.bootstrap.internal_listener", "typed_config": config}
