"""Spans: whose child each is, what it says, and how a trace is carried on."""

import asyncio
import contextvars
import json

import pytest
from opentelemetry.trace import StatusCode

from services.kit.errors import FailedPrecondition
from services.kit.telemetry import tracing
from tests.spans import recorded
from tests.unit.kit.traceparents import MALFORMED, SAMPLED, UNSAMPLED


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


@pytest.mark.parametrize("wrong", MALFORMED)
def test_a_malformed_traceparent_is_none(wrong: str | None):
    assert tracing.context_from(wrong) is None


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


def test_a_span_inherits_its_parents_service():
    with recorded() as spans, tracing.span("server", service="orders"), tracing.span("INSERT orders"):
        pass

    assert spans.named("INSERT orders").resource.attributes["service.name"] == "orders"


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
