"""Envoy's routes: each method once as gRPC and once for every REST form.

A REST call is routed twice: as it came, when its token is checked, and as gRPC after it has been transcoded. What belongs to the call
(token, size limit, time limit, span name) therefore stands on both.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from gateway.browsers import cors_policy, preflight_route
from gateway.cache import CACHE
from gateway.headers import EVENTS, STATUSES, TYPES, turned_on
from gateway.limits import Limiting
from gateway.methods import Binding, Method
from gateway.pages import Page, page_routes
from gateway.shedding import FILTER, of_priority, switched_off
from gateway.upstreams import way
from services.kit.rpc.calls import ADDRESS

USER, ANYONE = "user", "anyone"
"""The requirements of the token check, by name."""

DEFAULT_SECONDS = 10.0
GRACE_SECONDS = 1.0
"""How much later than the service itself the edge gives up: the service's own answer says more."""

IMPORT_BYTES = 4 * 2**20
WEBHOOK_BYTES = 256 * 2**10
BODY_BYTES_OF = {
    "bazaar.catalog.v1.CatalogService/ImportProducts": IMPORT_BYTES,
    "bazaar.payments.v1.PaymentsService/ReceiveWebhook": WEBHOOK_BYTES,
}
"""Methods with a limit of their own."""

LOGIN = "login"
"""The kind of limit of methods that are told where a call comes from; nobody else needs to know."""

NEVER_BEGUN = "connect-failure,refused-stream"
"""Failures after which no handler has seen the call: any call may be tried again."""
MAY_HAVE_RUN = f"{NEVER_BEGUN},reset,unavailable"
CUT_OFF = f"{NEVER_BEGUN},reset"
"""For what may be shed: asking another worker, just as busy, would make three refusals of one."""

ELSEWHERE = {
    "num_retries": 2,
    "retry_host_predicate": [
        {
            "name": "envoy.retry_host_predicates.previous_hosts",
            "typed_config": {"@type": TYPES + "retry.host.previous_hosts.v3.PreviousHostsPredicate"},
        }
    ],
    "host_selection_retry_max_attempts": 5,
}
"""A retry goes to a worker that hasn't failed it: a dead one has the fewest calls under way, and so would be chosen again and again."""

GRPC_HEADERS = {"grpc-timeout": "[0-9]{1,8}[HMSmun]", "grpc-encoding": "identity|deflate|gzip"}
"""What gRPC's server reads, and how it must look: over one that it can't parse it fails, and for grpc-timeout takes other calls along."""

GRPC_CONTENT = {"name": "content-type", "string_match": {"safe_regex": {"regex": "application/(grpc.*|proto|connect\\+proto)"}}}
"""gRPC, gRPC-Web, and Connect with messages in binary."""


def virtual_host(methods: Iterable[Method], limiting: Limiting, origins: Sequence[str] = (), pages: Sequence[Page] = ()) -> dict[str, Any]:
    """Every route; what matches none is not found.

    Args:
        origins: whose pages may call from a browser.
        pages: files that are served as they are.
    """
    ordered = sorted(methods, key=lambda method: (method.priority, method.name))
    shown = [method for method in ordered if method.is_open]
    hidden = [method for method in ordered if not method.is_open]
    rest = [(binding, method) for method in shown for binding in method.bindings]
    rest.sort(key=lambda pair: _specificity(pair[0].template))
    return {
        "name": "bazaar",
        "domains": ["*"],
        "routes": [
            *([preflight_route(ordered[0].cluster)] if origins else []),
            *(_unless(name, pattern) for name, pattern in GRPC_HEADERS.items()),
            *(route for method in shown for route in _sheddable(_grpc_route(method, limiting), method)),
            *(route for binding, method in rest for route in _sheddable(_rest_route(binding, method, limiting), method)),
            *(_refusal(method) for method in hidden),
            *(route for page in pages for route in page_routes(page)),
            _nothing(),
        ],
        **({"typed_per_filter_config": cors_policy(origins)} if origins else {}),
    }


def _sheddable(route: dict[str, Any], method: Method) -> list[dict[str, Any]]:
    """The route, and before it the one that takes its place while calls like this are shed; what is of priority 1 never is."""
    return [route] if method.priority == 1 else [switched_off(route, method.priority), route]


def _grpc_route(method: Method, limiting: Limiting) -> dict[str, Any]:
    route = {"match": {"path": method.path, "headers": [GRPC_CONTENT]}, **_call(method, limiting)}
    headers = []
    if not method.is_stream:
        seconds = method.timeout_seconds or DEFAULT_SECONDS
        # A REST client names no deadline, and every call has one.
        deadline = {"header": {"key": "grpc-timeout", "value": f"{round(seconds * 1000)}m"}, "append_action": "ADD_IF_ABSENT"}
        headers.append(deadline)
    if method.limit == LOGIN:
        headers.append({"header": {"key": ADDRESS, "value": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"}})
    return {**route, "request_headers_to_add": headers} if headers else route


def _rest_route(binding: Binding, method: Method, limiting: Limiting) -> dict[str, Any]:
    verb = {"name": ":method", "string_match": {"exact": binding.verb}}
    match = {"path": binding.template} if "{" not in binding.template else {"safe_regex": {"regex": path_regex(binding.template)}}
    route = {"match": {**match, "headers": [verb]}, **_call(method, limiting)}
    if method.is_cacheable:
        route["typed_per_filter_config"] |= turned_on(STATUSES, CACHE)
    if method.creates:
        route["typed_per_filter_config"] |= turned_on(STATUSES)
    if method.is_stream:
        route["typed_per_filter_config"] |= turned_on(EVENTS)
    return route


def _call(method: Method, limiting: Limiting) -> dict[str, Any]:
    seconds = (method.timeout_seconds or DEFAULT_SECONDS) + GRACE_SECONDS
    # A stream lives as long as both sides want, and may be silent for an hour.
    limits = {"timeout": "0s", "idle_timeout": "3600s"} if method.is_stream else {"timeout": f"{seconds}s"}
    repeats = MAY_HAVE_RUN if method.priority == 1 else CUT_OFF
    retry = {"retry_on": repeats if method.can_repeat else NEVER_BEGUN, **ELSEWHERE}
    requirement = {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfig",
        "requirement_name": USER if method.needs_user else ANYONE,
    }
    filters: dict[str, Any] = {"envoy.filters.http.jwt_authn": requirement}
    if most := BODY_BYTES_OF.get(method.name):
        filters["envoy.filters.http.buffer"] = {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.buffer.v3.BufferPerRoute",
            "buffer": {"max_request_bytes": most},
        }
    limited = limiting.actions(method.limit, needs_user=method.needs_user)
    if method.priority > 1:
        filters |= turned_on(FILTER)
    return {
        "name": method.name,
        "route": {**way(method), **limits, "retry_policy": retry, "rate_limits": limited},
        "decorator": {"operation": method.name, "propagate": False},
        "metadata": {"filter_metadata": {**of_priority(method.priority), **limiting.intervals(method.limit)}},
        "typed_per_filter_config": filters,
    }


def _refusal(method: Method) -> dict[str, Any]:
    """Internal methods answer PERMISSION_DENIED to gRPC; REST has no path to them."""
    match = {"path": method.path, "headers": [GRPC_CONTENT]}
    return {
        "name": method.name,
        "match": match,
        "direct_response": {"status": 403, "body": {"inline_string": "This method is not open to clients."}},
    }


def _unless(name: str, pattern: str) -> dict[str, Any]:
    """Refuses a call with a header that doesn't look as it must."""
    header = {"name": name, "string_match": {"safe_regex": {"regex": pattern}}, "invert_match": True}
    is_there = {"name": name, "present_match": True}
    reply = {"status": 400, "body": {"inline_string": f"The header {name} cannot be read."}}
    return {"match": {"prefix": "/", "headers": [is_there, header]}, "direct_response": reply}


def _nothing() -> dict[str, Any]:
    """Every other path. The transcoder takes some that no route does (a slash at the end), and no token would be checked on those."""
    off = {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "disabled": True}
    return {
        "match": {"prefix": "/"},
        "direct_response": {"status": 404, "body": {"inline_string": "There is nothing at this path."}},
        "typed_per_filter_config": {"envoy.filters.http.grpc_json_transcoder": off},
    }


def path_regex(template: str) -> str:
    """The paths that a google.api.http template matches."""
    pieces = re.split(r"(\{[^}]*\}|\*\*|\*)", template)
    return "".join(_piece(piece) for piece in pieces)


def _piece(piece: str) -> str:
    if piece.startswith("{"):
        _, _, pattern = piece[1:-1].partition("=")
        return path_regex(pattern) if pattern else "[^/:]+"
    return {"*": "[^/:]+", "**": ".+"}.get(piece) or re.escape(piece)


def _specificity(template: str) -> tuple[int, ...]:
    """Literal segments before variables, from the left."""
    return tuple(int("{" in segment or "*" in segment) for segment in template.split("/"))
