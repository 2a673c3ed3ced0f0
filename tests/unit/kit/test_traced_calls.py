"""The spans of calls, on both sides."""

import pytest
from opentelemetry.trace import StatusCode

from services.kit.telemetry import calls, tracing
from tests.spans import recorded
from tests.unit.kit.traceparents import MALFORMED, SAMPLED, UNSAMPLED

EDGE_BEYOND_RATIO = "00-" + "ff" * 16 + "-" + "cd" * 8 + "-01"


@pytest.mark.parametrize("wrong", MALFORMED)
def test_a_call_with_a_malformed_traceparent_begins_a_trace(wrong: str | None):
    with recorded() as spans, calls.server_span("/a.B/C", traceparent=wrong, caller="checkout", service="cart"):
        pass

    assert spans.named("a.B/C").parent is None


def test_a_call_in_an_unsampled_trace_is_not_recorded_and_carries_it_on():
    with recorded() as spans, calls.server_span("/a.B/C", traceparent=UNSAMPLED, caller="checkout", service="cart"):
        assert tracing.current_traceparent() == UNSAMPLED
        assert tracing.traceparent_of(tracing.current_context()) == UNSAMPLED

    assert spans.all == []


def test_without_a_ratio_a_call_from_the_edge_is_decided_by_the_budget():
    with recorded(sampling=""):
        answers = []
        for _ in range(51):
            with calls.server_span("/a.B/C", traceparent=EDGE_BEYOND_RATIO, caller="edge", service="cart") as span:
                answers += calls.answer_to_edge(span)

    assert (answers[0], answers[-1]) == (("x-bazaar-sampled", "1"), ("x-bazaar-sampled", "0"))


@pytest.mark.parametrize(("traceparent", "answer"), [(SAMPLED, "1"), (UNSAMPLED, "0")])
def test_with_a_ratio_a_call_from_the_edge_follows_its_flag(traceparent: str, answer: str):
    with recorded(sampling="0.5"), calls.server_span("/a.B/C", traceparent=traceparent, caller="edge", service="cart") as span:
        assert calls.answer_to_edge(span) == (("x-bazaar-sampled", answer),)


def test_a_call_from_the_edge_stays_in_its_trace():
    with recorded() as spans, calls.server_span("/a.B/C", traceparent=SAMPLED, caller="edge", service="cart"):
        pass

    assert spans.named("a.B/C").context.trace_id == int("ab" * 16, 16)


def test_a_call_from_a_service_follows_its_caller():
    with recorded(sampling="0") as spans, calls.server_span("/a.B/C", traceparent=SAMPLED, caller="checkout", service="cart"):
        pass

    assert spans.named("a.B/C").attributes["bazaar.caller"] == "checkout"


def test_a_foreseen_refusal_is_no_error_of_the_server():
    with recorded() as spans, calls.server_span("/a.B/C", traceparent=None, caller="edge", service="cart") as span:
        calls.finish(span, "FAILED_PRECONDITION", "OUT_OF_STOCK")

    refused = spans.named("a.B/C")
    assert (refused.status.status_code, refused.attributes["error.type"]) == (StatusCode.OK, "OUT_OF_STOCK")


def test_an_internal_error_is_an_error_of_the_server():
    with recorded() as spans, calls.server_span("/a.B/C", traceparent=None, caller="edge", service="cart") as span:
        calls.finish(span, "INTERNAL")

    assert spans.named("a.B/C").status.description == "INTERNAL"


def test_a_refusal_is_an_error_to_its_caller():
    with recorded() as spans, tracing.span("outer"), calls.client_span("/a.B/C", callee="cart") as span:
        calls.finish(span, "NOT_FOUND")

    assert spans.named("a.B/C").status.description == "NOT_FOUND"
