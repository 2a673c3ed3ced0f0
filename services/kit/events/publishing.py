"""The spans of publishing, whichever engine carries the events."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager

from services.kit.events.port import Event
from services.kit.telemetry import tracing


@contextmanager
def publish_spans(events: Sequence[Event]) -> Generator[None]:
    """A span in each event's own trace."""
    contexts = [tracing.context_from(event.traceparent) for event in events]
    spans = [
        tracing.span(
            f"publish {event.topic}",
            kind=tracing.SpanKind.PRODUCER,
            attributes={
                "messaging.system": "bazaar",
                "messaging.destination.name": event.topic,
                "messaging.operation.type": "send",
                "messaging.message.id": event.id,
            },
            parent=context,
            service=event.source,
        )
        for event, context in zip(events, contexts, strict=True)
        if context is not None and context.trace_flags.sampled
    ]
    try:
        yield
    finally:
        for span in spans:
            span.end()
