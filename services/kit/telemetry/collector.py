"""Receives Envoy's spans (OTLP over gRPC) and keeps them in the same store as ours.

The edge marks every trace as recorded and the workers decide (`kit.telemetry.calls`): a span tagged `bazaar.sampled` 0 is dropped
here, and so is every other of its trace in the same export. A span without the tag was answered by the edge alone (401, 404, 429, no
worker up); a sampler of the collector's own keeps those within bounds.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Iterator
from typing import Any

import grpc
import grpc.aio
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceServicer
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span, Status

from services.kit.telemetry.calls import SAMPLED_TAG
from services.kit.telemetry.sampling import Sampler
from services.kit.telemetry.segments import SegmentWriter, encode, link_text

SERVICE_NAME = "opentelemetry.proto.collector.trace.v1.TraceService"

_KEPT = frozenset({"http.method", "http.status_code", "response_flags", "upstream_cluster.name", "grpc.status_code", "guid:x-request-id"})
"""Envoy's tags that are kept. Its others hold addresses, agents and whole URLs, query strings included: personal, or near it."""

_METHOD = re.compile(r"/[\w.]+/\w+")


class Collector(TraceServiceServicer):
    """`opentelemetry.proto.collector.trace.v1.TraceService`.

    Args:
        writer: this collector's own, named so that it shares no segment with the process's spans ("edge-worker-1").
        sampler: decides on traces that no worker answered.
    """

    def __init__(self, writer: SegmentWriter, sampler: Sampler) -> None:
        self._writer = writer
        self._sampler = sampler

    async def Export(self, request: ExportTraceServiceRequest, context: grpc.aio.ServicerContext[Any, Any]) -> ExportTraceServiceResponse:
        if lines := list(self._lines(request.resource_spans)):
            await asyncio.to_thread(self._writer.append, lines)
        return ExportTraceServiceResponse()

    def _lines(self, groups: Iterable[ResourceSpans]) -> Iterator[bytes]:
        kept: dict[bytes, bool] = {}
        for group in groups:
            resource = _attributes(group.resource.attributes)
            for scope in group.scope_spans:
                for span in scope.spans:
                    attributes = _attributes(span.attributes)
                    if self._is_kept(span, attributes, kept):
                        yield _line(span, attributes, str(resource.get("service.name", "edge")))

    def _is_kept(self, span: Span, attributes: dict[str, Any], kept: dict[bytes, bool]) -> bool:
        tag = attributes.get(SAMPLED_TAG)
        if tag:
            kept[span.trace_id] = tag == "1"
        elif span.trace_id not in kept:
            kept[span.trace_id] = self._sampler(int.from_bytes(span.trace_id, "big"))
        return kept[span.trace_id]


def add_collector_to_server(collector: Collector, server: Any) -> None:
    """Does what a generated `add_…_to_server` does: OpenTelemetry's is of an older kind, which tells a server no names."""
    export = grpc.unary_unary_rpc_method_handler(
        collector.Export,
        request_deserializer=ExportTraceServiceRequest.FromString,
        response_serializer=ExportTraceServiceResponse.SerializeToString,
    )
    server.add_registered_method_handlers(SERVICE_NAME, {"Export": export})


def _line(span: Span, attributes: dict[str, Any], service: str) -> bytes:
    return encode(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        name=_name(span, attributes),
        kind=Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        service=service,
        process="envoy",
        start=span.start_time_unix_nano,
        end=span.end_time_unix_nano,
        error=_error(span, attributes),
        attributes={key: value for key, value in attributes.items() if key in _KEPT or (key.startswith("bazaar.") and key != SAMPLED_TAG)},
        links=[link_text(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
    )


def _name(span: Span, attributes: dict[str, Any]) -> str:
    """The method that the edge called; otherwise the HTTP method alone, since paths hold ids and query strings anything."""
    path = str(attributes.get("grpc.path", ""))
    return path[1:] if _METHOD.fullmatch(path) else str(attributes.get("http.method") or span.name)


def _error(span: Span, attributes: dict[str, Any]) -> str:
    status = str(attributes.get("http.status_code", ""))
    if span.status.code == Status.STATUS_CODE_ERROR or attributes.get("error") == "true" or status.startswith("5"):
        return f"HTTP {status}" if status else "error"
    return ""


def _attributes(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "string_value") for pair in pairs}
