"""Trying a batch: its spans, and the halving of one that fails."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager

import grpc
import grpc.aio
import structlog

from services.kit.errors import Unavailable
from services.kit.events.port import Delivery, Event, Handler, Subscription
from services.kit.telemetry import tracing

_ERROR_LENGTH = 1000

_log = structlog.get_logger(__name__)


async def attempt(subscription: Subscription, events: Sequence[Event]) -> Mapping[int, str]:
    """Hands the events that it wants to the subscription's handler; returns those that fail even alone (index → error).

    Raises:
        Unavailable, ConnectionError, grpc.aio.AioRpcError: a dependency is away. No event is to blame; all are to be tried again.
    """
    places = [place for place, event in enumerate(events) if subscription.wants(event)]
    if not places:
        return {}
    wanted = [events[place] for place in places]
    found: dict[int, str] = {}
    with _spans(subscription, wanted):
        await _try_in_halves(subscription.handle, wanted, 0, found)
    failed = {places[index]: error for index, error in found.items()}
    for place, error in failed.items():
        # The type alone: what an exception says may be personal.
        _log.warning(
            "event failed", topic=subscription.topic, group=subscription.group, event_id=events[place].id, error=error.partition(":")[0]
        )
    return failed


async def _try_in_halves(handle: Handler, events: Sequence[Event], start: int, failed: dict[int, str]) -> None:
    try:
        await handle(events)
    except BaseException as error:
        # A CancelledError may also come from a call that the handler made; that is a failure like any other.
        if is_cancelled() or is_away(error) or not isinstance(error, Exception | asyncio.CancelledError):
            raise
        if len(events) == 1:
            failed[start] = f"{type(error).__name__}: {error}"[:_ERROR_LENGTH]
            return
        half = len(events) // 2
        await _try_in_halves(handle, events[:half], start, failed)
        await _try_in_halves(handle, events[half:], start + half, failed)


def is_away(error: BaseException) -> bool:
    """Whether an error says that a dependency is away, so that no event is to blame."""
    if isinstance(error, grpc.aio.AioRpcError):
        return error.code() is grpc.StatusCode.UNAVAILABLE
    return isinstance(error, Unavailable | ConnectionError)


def is_cancelled() -> bool:
    """Whether whoever runs this consumer has cancelled it, even if a handler swallowed that (asyncio.wait_for may, until Python 3.12)."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


@contextmanager
def _spans(subscription: Subscription, events: Sequence[Event]) -> Generator[None]:
    """A span for the batch, linked to what caused its events, and one in each event's own trace, linked to the batch.

    None for a broadcast: that every process hears of everything would be most of every trace.
    """
    if subscription.delivery is Delivery.BROADCAST:
        yield
        return
    contexts = [tracing.context_from(event.traceparent) for event in events]
    name = f"process {subscription.topic}"
    attributes = {
        "messaging.system": "bazaar",
        "messaging.destination.name": subscription.topic,
        "messaging.consumer.group.name": subscription.group,
        "messaging.operation.type": "process",
    }
    batch_attributes = {**attributes, "messaging.batch.message_count": len(events)}
    with tracing.span(
        name, kind=tracing.SpanKind.CONSUMER, attributes=batch_attributes, links=contexts, parent=tracing.ROOT, service=subscription.group
    ) as batch:
        spans = [
            tracing.span(
                name,
                kind=tracing.SpanKind.CONSUMER,
                attributes={**attributes, "messaging.message.id": event.id},
                links=[batch.get_span_context()],
                parent=context,
                service=subscription.group,
            )
            for event, context in zip(events, contexts, strict=True)
            if context is not None and context.trace_flags.sampled
        ]
        try:
            yield
        finally:
            for span in spans:
                span.end()
