import asyncio
import contextvars
import json
import threading

import pytest
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import StatusCode

from services.kit.errors import FailedPrecondition
from services.kit.telemetry import calls, tracing
from services.kit.telemetry.recorder import QUEUE
from services.kit.telemetry.sampling import BudgetSampler, RatioSampler, sampler_from
from tests.spans import recorded

SAMPLED = "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"
UNSAMPLED = "00-" + "ab" * 16 + "-" + "cd" * 8 + "-00"
EDGE_BEYOND_RATIO = "00-" + "ff" * 16 + "-" + "cd" * 8 + "-01"
LOW_TRACE, HIGH_TRACE = 1, (1 << 64) - 1


class OutOfStock(FailedPrecondition):
    reason = "OUT_OF_STOCK"


def test_a_span_inside_another_is_its_child():
    with recorded() as spans, tracing.span("outer"), tracing.span("inner"):
        pass

    assert spans.parent_of("inner") == "outer"


def test_a_span_begins_a_trace_when_there_is_none():
    with recorded() as spans, tracing.span("outer"):
        pass

    assert spans.named("outer").parent is None


def test_a_client_span_outside_of_a_trace_is_not_recorded():
    with recorded() as spans, tracing.span("SELECT outbox", kind=tracing.SpanKind.CLIENT):
        pass

    assert spans.all == []


def test_root_begins_a_new_trace_inside_a_span():
    with recorded() as spans, tracing.span("caller"), tracing.span("batch", parent=tracing.ROOT):
        pass

    assert spans.named("batch").context.trace_id != spans.named("caller").context.trace_id


def test_nothing_is_current_after_the_block():
    with recorded(), tracing.span("outer"):
        pass

    assert tracing.current_traceparent() == ""


async def test_a_task_started_in_a_span_is_in_its_trace():
    async def work() -> None:
        with tracing.span("inner"):
            pass

    with recorded() as spans, tracing.span("outer"):
        await asyncio.create_task(work())

    assert spans.parent_of("inner") == "outer"


def test_a_traceparent_carries_a_trace_on():
    with recorded() as spans:
        with tracing.span("publish"):
            traceparent = tracing.current_traceparent()
        with tracing.span("consume", parent=tracing.context_from(traceparent)):
            pass

    assert spans.parent_of("consume") == "publish"


def test_a_traceparent_is_read_as_it_was_written():
    context = tracing.context_from(SAMPLED)

    assert context is not None
    assert tracing.traceparent_of(context) == SAMPLED


MALFORMED = [
    "",
    None,
    "00-zz",
    SAMPLED.replace("ab", "xy"),
    SAMPLED.replace("ab", "AB"),
    "00-" + "0" * 32 + "-" + "cd" * 8 + "-01",
    "00-" + "ab" * 16 + "-" + "0" * 16 + "-01",
    "x" * 55,
]


@pytest.mark.parametrize("wrong", MALFORMED)
def test_a_malformed_traceparent_is_none(wrong: str | None):
    assert tracing.context_from(wrong) is None


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


def test_an_unsampled_parent_records_nothing_and_is_carried_on():
    with recorded() as spans, tracing.span("SERVER", parent=tracing.context_from(UNSAMPLED)), tracing.span("inner"):
        assert tracing.current_traceparent() == UNSAMPLED

    assert spans.all == []


def test_leaving_a_span_inside_an_unsampled_trace_stays_in_that_trace():
    with recorded(), tracing.span("SERVER", parent=tracing.context_from(UNSAMPLED)):
        with tracing.span("inner"):
            pass
        assert tracing.current_traceparent() == UNSAMPLED


def test_an_exception_is_told_by_type_and_reason_alone():
    with recorded() as spans, pytest.raises(OutOfStock), tracing.span("reserve"):
        raise OutOfStock("asha@example.com wants too many")

    failed = spans.named("reserve")
    assert (failed.status.status_code, failed.status.description, failed.events) == (StatusCode.ERROR, "OutOfStock: OUT_OF_STOCK", ())


def test_an_exception_without_a_reason_is_told_by_type():
    with recorded() as spans, pytest.raises(ValueError, match="card"), tracing.span("pay"):
        raise ValueError("card 4111 1111 1111 1111")

    assert spans.named("pay").status.description == "ValueError"


def test_a_linked_span_is_kept_and_an_unrecorded_one_left_out():
    with recorded() as spans, tracing.span("batch", links=[tracing.context_from(SAMPLED), tracing.context_from(UNSAMPLED), None]):
        pass

    assert [tracing.traceparent_of(link.context) for link in spans.named("batch").links] == [SAMPLED]


def test_a_new_trace_that_links_a_recorded_span_is_recorded_whatever_the_ratio():
    with recorded(sampling="0") as spans, tracing.span("batch", parent=tracing.ROOT, links=[tracing.context_from(SAMPLED)]):
        pass

    assert spans.named("batch").name == "batch"


def test_a_new_trace_that_links_unrecorded_spans_alone_is_not_recorded():
    with recorded() as spans, tracing.span("batch", parent=tracing.ROOT, links=[tracing.context_from(UNSAMPLED)]):
        pass

    assert spans.all == []


def test_a_span_inherits_its_parents_service():
    with recorded() as spans, tracing.span("server", service="orders"), tracing.span("INSERT orders"):
        pass

    assert spans.named("INSERT orders").resource.attributes["service.name"] == "orders"


class StuckExporter(SpanExporter):
    """Takes what comes first and holds on to it until released."""

    def __init__(self) -> None:
        self.is_stuck, self.released = threading.Event(), threading.Event()

    def export(self, spans):
        self.is_stuck.set()
        self.released.wait(10)
        return SpanExportResult.SUCCESS


class BreakingExporter(SpanExporter):
    """Fails at the first spans that come, and counts the others."""

    def __init__(self) -> None:
        self.has_failed, self.taken, self.is_shut_down = False, 0, False

    def export(self, spans):
        if not self.has_failed:
            self.has_failed = True
            raise OSError("no way")
        self.taken += len(spans)
        return SpanExportResult.SUCCESS

    def shutdown(self):
        self.is_shut_down = True


def test_spans_lost_to_a_full_queue_are_counted():
    exporter = StuckExporter()
    tracing.setup("test", exporter, "all")
    tracing.span("taken").end()
    exporter.is_stuck.wait(10)
    for _ in range(QUEUE + 3):
        tracing.span("queued").end()
    exporter.released.set()

    assert tracing.dropped() == 3
    tracing.shutdown()


def test_an_exporter_that_fails_gets_the_next_spans():
    exporter = BreakingExporter()
    tracing.setup("test", exporter, "all")
    for _ in range(2):
        tracing.span("work").end()
        tracing.flush()

    assert exporter.taken == 1
    tracing.shutdown()


def test_a_shutdown_exports_what_is_queued_first():
    exporter = BreakingExporter()
    exporter.has_failed = True
    tracing.setup("test", exporter, "all")
    tracing.span("work").end()
    tracing.shutdown()

    assert (exporter.taken, exporter.is_shut_down) == (1, True)


def test_spans_are_exported_without_being_asked_for():
    exporter = StuckExporter()
    exporter.released.set()
    tracing.setup("test", exporter, "all")
    tracing.span("work").end()

    assert exporter.is_stuck.wait(10)
    tracing.shutdown()


def test_an_exporter_of_the_sdk_can_read_a_span():
    with recorded() as spans, tracing.span("consume", parent=tracing.context_from(SAMPLED), attributes={"messaging.system": "bazaar"}):
        pass

    told = json.loads(spans.named("consume").to_json())
    assert (told["name"], told["context"]["trace_id"], told["parent_id"]) == ("consume", "0x" + "ab" * 16, "0x" + "cd" * 8)
    assert (told["attributes"], spans.named("consume").parent.is_remote) == ({"messaging.system": "bazaar"}, True)


def test_a_span_in_a_generator_that_another_task_closes_ends():
    def work():
        with tracing.span("work"):
            yield

    with recorded() as spans:
        working = work()
        contextvars.copy_context().run(next, working)
        working.close()
        assert tracing.current_traceparent() == ""

    assert spans.named("work").end_time is not None


def test_a_ratio_is_decided_by_trace_id():
    sampler = RatioSampler(0.5)

    assert (sampler(LOW_TRACE), sampler(HIGH_TRACE)) == (True, False)


def test_a_budget_records_every_trace_up_to_its_rate_and_the_ratio_beyond():
    sampler = BudgetSampler(2, 0.1, monotonic=lambda: 0.0)

    assert [sampler(HIGH_TRACE), sampler(HIGH_TRACE), sampler(HIGH_TRACE), sampler(LOW_TRACE)] == [True, True, False, True]


def test_a_budget_fills_again_with_time():
    now = [0.0]
    sampler = BudgetSampler(2, 0.0, monotonic=lambda: now[0])
    spent = [sampler(HIGH_TRACE) for _ in range(3)]
    now[0] = 0.5

    assert (spent, sampler(HIGH_TRACE), sampler(HIGH_TRACE)) == ([True, True, False], True, False)


@pytest.mark.parametrize("wrong", ["some", "1.5", "-1", "nan"])
def test_a_sampling_that_means_nothing_is_refused(wrong: str):
    with pytest.raises(ValueError, match="BAZAAR_TRACE_SAMPLING"):
        sampler_from(wrong)


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
