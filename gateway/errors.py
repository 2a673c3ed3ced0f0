"""One shape for every error: what Envoy answers by itself looks like a transcoded `google.rpc.Status`."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.code_pb2 import Code
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from bazaar.type.v1.errors_pb2 import ErrorReason
from gateway.headers import TYPES, http_filter
from gateway.upstreams import SHEDDABLE

STATUSES = {
    400: (Code.INVALID_ARGUMENT, ErrorReason.VALIDATION_FAILED),
    401: (Code.UNAUTHENTICATED, ErrorReason.UNAUTHENTICATED),
    403: (Code.PERMISSION_DENIED, ErrorReason.METHOD_NOT_GRANTED),
    404: (Code.NOT_FOUND, ErrorReason.METHOD_NOT_FOUND),
    405: (Code.UNIMPLEMENTED, ErrorReason.METHOD_NOT_FOUND),
    408: (Code.DEADLINE_EXCEEDED, ErrorReason.DEADLINE_EXCEEDED),
    413: (Code.INVALID_ARGUMENT, ErrorReason.VALIDATION_FAILED),
    415: (Code.INVALID_ARGUMENT, ErrorReason.VALIDATION_FAILED),
    426: (Code.INVALID_ARGUMENT, ErrorReason.VALIDATION_FAILED),
    429: (Code.RESOURCE_EXHAUSTED, ErrorReason.RATE_LIMITED),
    431: (Code.INVALID_ARGUMENT, ErrorReason.VALIDATION_FAILED),
    500: (Code.INTERNAL, ErrorReason.INTERNAL),
    502: (Code.UNAVAILABLE, ErrorReason.UNAVAILABLE),
    503: (Code.UNAVAILABLE, ErrorReason.UNAVAILABLE),
    504: (Code.DEADLINE_EXCEEDED, ErrorReason.DEADLINE_EXCEEDED),
}

NO_PLACE = "upstream_reset_before_response_started{overflow}"
NO_PLACE_EXPRESSION = f'response.code_details == "{NO_PLACE}" && xds.cluster_name.endsWith("{SHEDDABLE}")'
"""Tells that a call found no place among those that may be shed; the same of other calls is a fault of its own."""
NO_PLACE_SENTENCE = "Too much is asked for at the moment; what matters more goes first."

LIMITED = "Too many calls; Retry-After says when to come back."
SHED_EXPRESSION = f'response.code_details in ["direct_response", "lua_response"] || ({NO_PLACE_EXPRESSION})'
"""Tells the edge's own 503s that shed a call from the others."""

PROBLEM = "application/problem+json"

TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    409: "Conflict",
    413: "Content Too Large",
    429: "Too Many Requests",
    499: "Client Closed Request",
    500: "Internal Server Error",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}


def local_replies() -> dict[str, Any]:
    """Envoy's `local_reply_config`."""
    mappers = [_mapper(status, code, ErrorReason.Name(reason)) for status, (code, reason) in STATUSES.items()]
    return {"mappers": [_refused_path(), *_no_place(), _shed(), *mappers, _limited_grpc()]}


def problems() -> dict[str, Any]:
    """Problem details (problems.lua) for clients that accept them."""
    code = Path(__file__).with_name("problems.lua").read_text()
    accept = {
        "name": "accept",
        "typed_config": {"@type": "type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput", "header_name": "accept"},
    }
    wanted = {"single_predicate": {"input": accept, "value_match": {"contains": PROBLEM}}}
    skip = {"name": "skip", "typed_config": {"@type": TYPES + "filters.common.matcher.action.v3.SkipFilter"}}
    matchers = [{"predicate": {"not_matcher": wanted}, "on_match": {"action": skip}}]
    return {
        "name": "problems",
        "typed_config": {
            "@type": TYPES + "common.matching.v3.ExtensionWithMatcher",
            "extension_config": http_filter("lua", "Lua", default_source_code={"inline_string": code}),
            "xds_matcher": {"matcher_list": {"matchers": matchers}},
        },
    }


def _refused_path() -> dict[str, Any]:
    """What Envoy refuses without a word of its own."""
    mapper = _narrowed(400, ErrorReason.Name(ErrorReason.VALIDATION_FAILED), 'response.code_details == "path_normalization_failed"')
    return {**mapper, "body": {"inline_string": "The path holds an escaped slash, backslash or NUL."}}


def _shed() -> dict[str, Any]:
    return _narrowed(503, ErrorReason.Name(ErrorReason.SHED), SHED_EXPRESSION)


def _no_place() -> list[dict[str, Any]]:
    """For REST, and for gRPC, whose details travel in a header; what it tells shedding.lua goes no further."""
    reason = AnyMessage()
    reason.Pack(ErrorInfo(reason=ErrorReason.Name(ErrorReason.SHED), domain="bazaar.dev"))
    status = Status(code=Code.UNAVAILABLE, message=NO_PLACE_SENTENCE, details=[reason])
    details = _added("grpc-status-details-bin", base64.b64encode(status.SerializeToString()).decode().rstrip("="))
    told = {"body": {"inline_string": NO_PLACE_SENTENCE}, "headers_to_add": [_added("retry-after", "1"), _added("x-bazaar-no-place", "1")]}
    is_ours = {"and_filter": {"filters": [is_status(503), cel(NO_PLACE_EXPRESSION)]}}
    rest = _narrowed(503, ErrorReason.Name(ErrorReason.SHED), NO_PLACE_EXPRESSION)
    return [{**rest, **told}, {"filter": is_ours, **told, "headers_to_add": [*told["headers_to_add"], details]}]


def _added(name: str, value: str) -> dict[str, Any]:
    return {"header": {"key": name, "value": value}}


def _narrowed(status: int, reason: str, expression: str) -> dict[str, Any]:
    """A mapper for some of a status's replies."""
    code, _ = STATUSES[status]
    mapper = _mapper(status, code, reason)
    return {**mapper, "filter": {"and_filter": {"filters": [mapper["filter"], cel(expression)]}}}


def _limited_grpc() -> dict[str, Any]:
    """The limits' filters have words for logs only."""
    return {"filter": is_status(429), "body": {"inline_string": LIMITED}}


def _mapper(status: int, code: int, reason: str) -> dict[str, Any]:
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "bazaar.dev", "metadata": {}}
    return {
        "filter": {"and_filter": {"filters": [is_status(status), _answers_json()]}},
        **({"body": {"inline_string": LIMITED}} if status == 429 else {}),
        "body_format_override": {"json_format": {"code": code, "message": "%LOCAL_REPLY_BODY%", "details": [info]}},
    }


def is_status(status: int) -> dict[str, Any]:
    """An access log filter."""
    return {"status_code_filter": {"comparison": {"op": "EQ", "value": {"default_value": status, "runtime_key": "unset"}}}}


def cel(expression: str) -> dict[str, Any]:
    """An access log filter."""
    config = {"@type": "type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter", "expression": expression}
    return {"extension_filter": {"name": "envoy.access_loggers.extension_filters.cel", "typed_config": config}}


def _answers_json() -> dict[str, Any]:
    """Whether the reply goes to a REST client: one to gRPC carries its text in a header, where JSON has no business.

    A REST call looks like gRPC once it is transcoded, but the transcoder leaves alone what Envoy answers to it.
    """
    content_type = {"name": "content-type", "string_match": {"prefix": "application/grpc"}, "treat_missing_header_as_empty": True}
    is_no_grpc = {"header_filter": {"header": {**content_type, "invert_match": True}}}
    is_transcoded = {"header_filter": {"header": {"name": "x-envoy-original-path", "present_match": True}}}
    return {"or_filter": {"filters": [is_no_grpc, is_transcoded]}}
