"""Which headers pass the edge, either way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

TYPES = "type.googleapis.com/envoy.extensions."

GRPC_SERVER_HEADERS = (
    "grpc-previous-rpc-attempts",
    "grpc-retry-pushback-ms",
    "grpc-internal-encoding-request",
    "grpc-status",
    "grpc-message",
)
"""What gRPC's server reads and no client of ours sends."""


NO_GRPC_NAME = ".*[^:0-9a-z_.-].*"
"""A header's name with a character that is none for gRPC's metadata; a colon is there in HTTP/2's own."""

ENVOY_HEADERS = ("x-envoy-upstream-healthchecked-cluster", "x-envoy-upstream-service-time")

STATUSES = "envoy.filters.http.lua"
EVENTS = "events"


def http_filter(name: str, message: str, **settings: Any) -> dict[str, Any]:
    """One of Envoy's own HTTP filters."""
    return {"name": f"envoy.filters.http.{name}", "typed_config": {"@type": f"{TYPES}filters.http.{name}.v3.{message}", **settings}}


def strip_internal_headers() -> dict[str, Any]:
    """What services, Envoy and gRPC believe of headers, a client must not be able to say.

    gRPC's server answers INTERNAL to one of its own headers that it can't parse, to a `-bin` one that isn't base64, and to a name that HTTP
    allows and gRPC doesn't.
    """
    removed = [
        {"prefix": "x-bazaar-"},
        {"prefix": "x-envoy-"},
        {"suffix": "-bin"},
        {"safe_regex": {"regex": NO_GRPC_NAME}},
        *({"exact": name} for name in GRPC_SERVER_HEADERS),
    ]
    return {
        "name": "strip",
        "typed_config": {
            "@type": TYPES + "http.early_header_mutation.header_mutation.v3.HeaderMutation",
            "mutations": [
                *({"remove_on_match": {"key_matcher": matcher}} for matcher in removed),
                {"append": {"header": {"key": "x-bazaar-caller", "value": "edge"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}},
            ],
        },
    }


def drop_request_trailers() -> dict[str, Any]:
    """What comes after a body, no service reads."""
    every = {"remove_on_match": {"key_matcher": {"safe_regex": {"regex": ".*"}}}}
    return http_filter("header_mutation", "HeaderMutation", mutations={"request_trailers_mutations": [every]})


def keep_nothing() -> dict[str, Any]:
    """Has no cache keep an answer that says nothing of it: it may be about somebody."""
    no_store = {"header": {"key": "cache-control", "value": "no-store"}, "append_action": "ADD_IF_ABSENT"}
    return {
        **http_filter("header_mutation", "HeaderMutation", mutations={"response_mutations": [{"append": no_store}]}),
        "name": "keep-nothing",
    }


def clean_rest_answers() -> dict[str, Any]:
    """Takes gRPC's own headers and Envoy's off answers to REST clients; for gRPC clients, told by what they sent, they are the answer."""
    leaks = ("grpc-status", "grpc-message", "grpc-status-details-bin", "grpc-accept-encoding", *ENVOY_HEADERS)
    skip = {"name": "skip", "typed_config": {"@type": TYPES + "filters.common.matcher.action.v3.SkipFilter"}}
    content_type = {
        "name": "content-type",
        "typed_config": {"@type": "type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput", "header_name": "content-type"},
    }
    mutations = {"response_mutations": [{"remove": name} for name in leaks]}
    return {
        "name": "clean-rest-answers",
        "typed_config": {
            "@type": TYPES + "common.matching.v3.ExtensionWithMatcher",
            "extension_config": http_filter("header_mutation", "HeaderMutation", mutations=mutations),
            "xds_matcher": {"matcher_tree": {"input": content_type, "prefix_match_map": {"map": {"application/grpc": {"action": skip}}}}},
        },
    }


def right_status() -> dict[str, Any]:
    """201 and 304 (statuses.lua); only for routes that turn it on."""
    code = Path(__file__).with_name("statuses.lua").read_text()
    return {**http_filter("lua", "Lua", default_source_code={"inline_string": code}), "disabled": True}


def event_ids() -> dict[str, Any]:
    """Ids for server-sent events (events.lua); only for routes that turn it on."""
    code = Path(__file__).with_name("events.lua").read_text()
    return {**http_filter("lua", "Lua", default_source_code={"inline_string": code}), "name": EVENTS, "disabled": True}


def turned_on(*filters: str) -> dict[str, Any]:
    """A route's `typed_per_filter_config` for filters that are off elsewhere."""
    return {name: {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "config": {}} for name in filters}
