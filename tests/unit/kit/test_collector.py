from collections.abc import AsyncIterator
from pathlib import Path

import grpc.aio
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from services.kit.telemetry import store
from services.kit.telemetry.collector import Collector, add_collector_to_server
from services.kit.telemetry.segments import SegmentWriter
from tests.personal_data import personal_data_in

TRACE = "ab" * 16
METHOD = "/bazaar.checkout.v1.CheckoutService/PlaceOrder"


class Answers:
    """A sampler that always answers the same."""

    def __init__(self, answer: bool) -> None:
        self.answer = answer

    def __call__(self, trace_id: int, /) -> bool:
        return self.answer


def exported(*spans: Span) -> ExportTraceServiceRequest:
    resource = Resource(attributes=attributes(**{"service.name": "edge"}))
    return ExportTraceServiceRequest(resource_spans=[ResourceSpans(resource=resource, scope_spans=[ScopeSpans(spans=spans)])])


def attributes(**values: str) -> list[KeyValue]:
    return [KeyValue(key=key, value=AnyValue(string_value=value)) for key, value in values.items()]


def edge_span(*, failed: bool = False, trace: str = TRACE, **tags: str) -> Span:
    return Span(
        trace_id=bytes.fromhex(trace),
        span_id=bytes.fromhex("cd" * 8),
        name="ingress",
        kind=Span.SPAN_KIND_SERVER,
        start_time_unix_nano=5,
        end_time_unix_nano=9,
        attributes=attributes(**tags),
        status=Status(code=Status.STATUS_CODE_ERROR) if failed else None,
    )


@pytest.fixture
def sampler() -> Answers:
    return Answers(True)


@pytest.fixture
async def collector(tmp_path: Path, sampler: Answers) -> AsyncIterator[TraceServiceStub]:
    server = grpc.aio.server()
    add_collector_to_server(Collector(SegmentWriter(tmp_path, "edge-worker-1"), sampler), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield TraceServiceStub(channel)
    await server.stop(None)


async def test_the_edges_span_is_kept_beside_ours(collector: TraceServiceStub, tmp_path: Path):
    await collector.Export(exported(edge_span(**{"bazaar.sampled": "1", "grpc.path": METHOD, "http.status_code": "200"})))

    assert store.read_trace(tmp_path, TRACE) == [
        store.StoredSpan(
            trace_id=TRACE,
            span_id="cd" * 8,
            parent_id="",
            name="bazaar.checkout.v1.CheckoutService/PlaceOrder",
            kind="SERVER",
            service="edge",
            process="envoy",
            start=5,
            end=9,
            error="",
            attributes={"http.status_code": "200"},
        )
    ]


async def test_a_span_of_a_trace_that_a_worker_does_not_record_is_dropped(collector: TraceServiceStub, tmp_path: Path):
    await collector.Export(exported(edge_span(**{"bazaar.sampled": "0"})))

    assert store.read_trace(tmp_path, TRACE) == []


@pytest.mark.parametrize("decision", [True, False])
async def test_a_span_that_no_worker_answered_is_for_the_collectors_sampler(
    collector: TraceServiceStub, tmp_path: Path, sampler: Answers, decision: bool
):
    sampler.answer = decision
    await collector.Export(exported(edge_span()))

    assert len(store.read_trace(tmp_path, TRACE)) == int(decision)


async def test_a_failed_span_says_so(collector: TraceServiceStub, tmp_path: Path):
    await collector.Export(exported(edge_span(failed=True, **{"bazaar.sampled": "1", "http.status_code": "503"})))

    assert [span.error for span in store.read_trace(tmp_path, TRACE)] == ["HTTP 503"]


async def test_urls_and_addresses_are_not_kept(collector: TraceServiceStub, tmp_path: Path):
    personal = {"http.url": "http://shop/v1/users?email=asha@example.com", "peer.address": "203.0.113.9", "grpc.path": "/x/y?n=Asha"}
    await collector.Export(exported(edge_span(**personal)))

    assert personal_data_in(tmp_path, known=["203.0.113.9", "Asha"]) == []
    assert [(span.name, span.attributes) for span in store.read_trace(tmp_path, TRACE)] == [("ingress", {})]
