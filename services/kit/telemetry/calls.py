"""Spans of calls between services, and whether the edge's spans of the same trace are kept.

Envoy begins a trace for every request. With BAZAAR_TRACE_SAMPLING set it samples by that ratio itself (`random_sampling`), and the
workers follow its flag. Unset, it knows no budget, marks every trace as recorded, and the worker that answers decides instead:

1. `server_span` takes a call from the edge as the beginning of a trace: the sampler decides, whatever the edge's flag says. Calls from
   other services follow their `traceparent`.
2. The worker tells the edge by the trailing metadata of its answer (`answer_to_edge`): `x-bazaar-sampled: 1` or `0`.
3. The edge tags its span with it, in its connection manager's `tracing.custom_tags`:
   `{tag: bazaar.sampled, value: "%TRAILER(x-bazaar-sampled)%%RESP(x-bazaar-sampled)%"}` (an error without a body arrives as headers;
   what is missing adds nothing).
4. `collector` drops the edge's spans that are tagged 0. For those without an answer (the edge said 401, 404 or 429 by itself) it asks
   a sampler of its own.

Names follow the RPC semantic conventions (release candidate): https://opentelemetry.io/docs/specs/semconv/rpc/
"""

from __future__ import annotations

from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.util.types import AttributeValue

from services.kit.telemetry import tracing

EDGE = "edge"
SAMPLED_METADATA = "x-bazaar-sampled"
SAMPLED_TAG = "bazaar.sampled"

_SERVER_FAULTS = frozenset({"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"})
"""Statuses that are the server's fault; the others are answers (the conventions' table for server spans)."""


def server_span(method: str, *, traceparent: str | None, caller: str, service: str) -> tracing.AnySpan:
    """The span of an incoming call.

    Args:
        method: "/package.Service/Method", as gRPC spells it.
        traceparent: the caller's, from the metadata.
        caller: the calling service's identity; "edge" for calls from outside.
        service: the service that answers, such as "orders".
    """
    name = method[1:]
    attributes: dict[str, AttributeValue] = {"rpc.system.name": "grpc", "rpc.method": name, "bazaar.caller": caller}
    if traceparent and caller == EDGE:
        traceparent = tracing.decided_here(traceparent)
    return tracing.span_below(traceparent, name, kind=SpanKind.SERVER, attributes=attributes, service=service)


def client_span(method: str, *, callee: str) -> tracing.AnySpan:
    """The span of an outgoing call; its `traceparent` is what goes into the metadata."""
    name = method[1:]
    return tracing.span(name, kind=SpanKind.CLIENT, attributes={"rpc.system.name": "grpc", "rpc.method": name, "bazaar.callee": callee})


def finish(span: tracing.AnySpan, status: str, reason: str = "") -> None:
    """Notes a call's outcome on its span.

    Args:
        status: a gRPC status's name, such as "NOT_FOUND".
        reason: the ErrorInfo's reason, such as "OUT_OF_STOCK".
    """
    if not span.is_recording():
        return
    span.set_attribute("rpc.response.status_code", status)
    if status == "OK":
        return
    span.set_attribute("error.type", reason or status)
    is_server = getattr(span, "kind", None) is SpanKind.SERVER
    if not is_server or status in _SERVER_FAULTS:
        span.set_status(StatusCode.ERROR, f"{status}: {reason}" if reason and reason != status else status)
    else:
        span.set_status(StatusCode.OK)


def answer_to_edge(span: tracing.AnySpan) -> tuple[tuple[str, str], ...]:
    """The trailing metadata that tells the edge whether this trace is recorded."""
    return ((SAMPLED_METADATA, "1" if span.is_recording() else "0"),)
