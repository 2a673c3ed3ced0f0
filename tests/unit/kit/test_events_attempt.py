import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import grpc
import grpc.aio
import pytest

from services.kit.errors import Unavailable
from services.kit.events.attempt import attempt
from services.kit.events.port import Event, Handler, Subscription
from services.kit.ids import uuid7
from services.kit.telemetry import tracing
from tests.spans import recorded


def event(version: int, traceparent: str = "") -> Event:
    return Event(uuid7(), "orders", "k", "bazaar.test.v1.Happened", "k", version, b"", "orders", datetime.now(UTC), traceparent)


def subscription(handle: Handler) -> Subscription:
    return Subscription("orders", "ranking", handle)


class Picky:
    """Fails on some versions."""

    def __init__(self, *poison: int, error: BaseException | None = None) -> None:
        self.calls: list[list[int]] = []
        self._poison = set(poison)
        self._error = error or ValueError("cannot digest")

    async def __call__(self, events: Sequence[Event]) -> None:
        versions = [event.aggregate_version for event in events]
        self.calls.append(versions)
        if self._poison & set(versions):
            raise self._error


async def test_a_batch_that_succeeds_is_handed_over_once():
    handle = Picky()

    assert await attempt(subscription(handle), [event(1), event(2)]) == {}
    assert handle.calls == [[1, 2]]


async def test_one_poison_event_is_found_in_logarithmically_many_calls():
    handle = Picky(300)

    failed = await attempt(subscription(handle), [event(version) for version in range(512)])

    assert failed == {300: "ValueError: cannot digest"}
    assert len(handle.calls) == 1 + 2 * 9


async def test_each_of_several_poison_events_is_found():
    handle = Picky(0, 2)

    failed = await attempt(subscription(handle), [event(version) for version in range(4)])

    assert list(failed) == [0, 2]
    assert handle.calls == [[0, 1, 2, 3], [0, 1], [0], [1], [2, 3], [2], [3]]


async def test_a_long_error_text_is_cut():
    failed = await attempt(subscription(Picky(1, error=ValueError("x" * 5000))), [event(1)])

    assert len(failed[0]) == 1000


@pytest.mark.parametrize(
    "error",
    [
        Unavailable("the database is away"),
        ConnectionResetError("gone"),
        grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata()),
    ],
)
async def test_no_event_is_blamed_for_a_dependency_that_is_away(error: Exception):
    handle = Picky(1, error=error)

    with pytest.raises(type(error)):
        await attempt(subscription(handle), [event(1), event(2)])

    assert handle.calls == [[1, 2]]


async def test_a_refusal_by_a_callee_is_the_events_fault():
    refused = grpc.aio.AioRpcError(grpc.StatusCode.FAILED_PRECONDITION, grpc.aio.Metadata(), grpc.aio.Metadata())

    assert list(await attempt(subscription(Picky(1, error=refused)), [event(1)])) == [0]


async def test_a_cancelled_consumer_stops_in_the_middle_of_a_batch():
    begun = asyncio.Event()

    async def hang(events: Sequence[Event]) -> None:
        begun.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(attempt(subscription(hang), [event(1), event(2)]))
    await begun.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_batch_span_and_its_events_spans_link_each_other():
    with recorded() as spans:
        with tracing.span("place order") as cause:
            traceparent = tracing.current_traceparent()
        await attempt(subscription(Picky()), [event(1, traceparent), event(2)])

        in_trace, batch = sorted((span for span in spans.all if span.name == "process orders"), key=lambda span: span.parent is None)

    assert in_trace.parent is not None
    assert in_trace.parent.span_id == cause.get_span_context().span_id
    assert in_trace.context.trace_id == cause.get_span_context().trace_id
    assert [link.context.span_id for link in in_trace.links] == [batch.context.span_id]
    assert [link.context.span_id for link in batch.links] == [cause.get_span_context().span_id]
    assert (batch.attributes or {})["messaging.batch.message_count"] == 2


async def test_a_handler_runs_inside_the_batch_span():
    inside: list[str] = []

    async def handle(events: Sequence[Event]) -> None:
        inside.append(tracing.current_traceparent())

    with recorded() as spans:
        await attempt(subscription(handle), [event(1)])
        batch = spans.named("process orders")

    assert inside == [tracing.traceparent_of(batch.context)]
