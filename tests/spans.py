"""Spans recorded in memory, for tests that assert what was traced."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from services.kit.telemetry import tracing


class RecordedSpans(SpanExporter):
    """What ended since `recorded()` began."""

    def __init__(self) -> None:
        self._spans: list[ReadableSpan] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self._spans.extend(spans)
        return SpanExportResult.SUCCESS

    @property
    def all(self) -> list[ReadableSpan]:
        """In the order they ended."""
        tracing.flush()
        return list(self._spans)

    def named(self, name: str) -> ReadableSpan:
        """The only span of this name."""
        found = [span for span in self.all if span.name == name]
        assert len(found) == 1, f"{len(found)} spans are named {name!r}; there are {[span.name for span in self.all]}"
        return found[0]

    def parent_of(self, name: str) -> str | None:
        """The name of the span's parent; None when it has none here."""
        parent = self.named(name).parent
        return next((span.name for span in self.all if parent and span.context.span_id == parent.span_id), None)


@contextmanager
def recorded(sampling: str = "all") -> Iterator[RecordedSpans]:
    """Records this process's spans in memory while the block runs."""
    spans = RecordedSpans()
    tracing.setup("test", spans, sampling)
    try:
        yield spans
    finally:
        tracing.shutdown()
