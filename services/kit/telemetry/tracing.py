"""Tracing: `span()` around a piece of work, and a trace's way in and out of this process.

    with tracing.span("reserve", attributes={"bazaar.order_id": order_id}) as current:
        ...
        current.set_attribute("inventory.lines", len(lines))

The attribute `bazaar.order_id` marks a span as an order's: `./bazaar trace ORDER_ID` starts from it.

Who records what:
- A trace is recorded or not as a whole; that is decided where it begins (`kit.telemetry.sampling`) and travels in `traceparent`.
- A span without a parent begins a trace. One that links recorded spans is recorded (a batch belongs to its callers' stories).
- A CLIENT span without a parent is not recorded: polls of a queue would be traces of one span, and use up the budget.
- Before `setup()` nothing is recorded, and all of this costs next to nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from random import getrandbits

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import INVALID_SPAN, INVALID_SPAN_CONTEXT, Link, SpanContext, SpanKind, TraceFlags
from opentelemetry.util.types import AttributeValue

from services.kit.telemetry.sampling import RatioSampler, Sampler, sampler_from
from services.kit.telemetry.spans import Span, UnsampledSpan

__all__ = [
    "ORDER_ID",
    "ROOT",
    "Span",
    "SpanContext",
    "SpanKind",
    "context_from",
    "current",
    "current_context",
    "current_traceparent",
    "decided_here",
    "dropped",
    "flush",
    "setup",
    "shutdown",
    "span",
    "traceparent_of",
]

ORDER_ID = "bazaar.order_id"
"""The attribute that marks an order's spans."""

ROOT: SpanContext = INVALID_SPAN_CONTEXT
"""As `parent`: begins a new trace even inside a span (a batch, a background task)."""

QUEUE = 16_384
"""Ended spans that wait to be written; the oldest are dropped beyond that, and counted."""
EXPORT_BATCH = 512
_EXPORT_EVERY_MS = 200.0
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_NOT_SAMPLED = TraceFlags(TraceFlags.DEFAULT)


class _Recorder:
    """What `setup` makes: a bounded queue to the exporter's thread, and the counts of what went in."""

    def __init__(self, process: str, exporter: SpanExporter, sampler: Sampler) -> None:
        self.process = process
        self.sampler = sampler
        self.ended = 0
        self._exporter = _Counting(exporter)
        self._processor = BatchSpanProcessor(
            self._exporter, max_queue_size=QUEUE, schedule_delay_millis=_EXPORT_EVERY_MS, max_export_batch_size=EXPORT_BATCH
        )
        self._forward: Callable[[ReadableSpan], None] = self._processor.on_end

    def on_end(self, ended: ReadableSpan) -> None:
        self.ended += 1
        self._forward(ended)

    def flush(self) -> None:
        self._processor.force_flush()

    def shutdown(self) -> None:
        self._processor.shutdown()

    @property
    def dropped(self) -> int:
        self.flush()
        return self.ended - self._exporter.received


class _Counting(SpanExporter):
    """The SDK's queue drops silently when it is full; what it hands on is counted here, so that the difference can be told."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self.received = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.received += len(spans)
        return self._exporter.export(spans)

    def shutdown(self) -> None:
        self._exporter.shutdown()


_recorder: _Recorder | None = None


def setup(process: str, exporter: SpanExporter | None, sampling: str = "") -> None:
    """Begins to record, in place of what an earlier call set up.

    Args:
        process: this process's name, such as "worker-1".
        exporter: where spans go (`store.SegmentWriter`); None records nothing.
        sampling: BAZAAR_TRACE_SAMPLING: "all", a ratio, or "".

    Raises:
        ValueError: `sampling` is none of these.
    """
    global _recorder
    sampler = sampler_from(sampling)
    shutdown()
    _recorder = _Recorder(process, exporter, sampler) if exporter else None


def shutdown() -> None:
    """Writes what is queued and stops recording."""
    global _recorder
    if _recorder is not None:
        stopping, _recorder = _recorder, None
        stopping.shutdown()


def flush() -> None:
    """Writes what is queued, now. Blocks."""
    if _recorder is not None:
        _recorder.flush()


def dropped() -> int:
    """How many recorded spans were lost to a full queue since `setup`. Flushes first."""
    return _recorder.dropped if _recorder is not None else 0


def span(
    name: str,
    *,
    kind: SpanKind = SpanKind.INTERNAL,
    attributes: Mapping[str, AttributeValue] | None = None,
    links: Iterable[SpanContext | None] = (),
    parent: SpanContext | None = None,
    service: str | None = None,
) -> trace.Span:
    """Starts a span; use it as a context manager, or `end()` it.

    Args:
        name: of few values: "INSERT orders", never with ids in it.
        attributes: nothing personal: no names, emails, phones, addresses, tokens.
        links: spans of other traces that this one belongs to as well; None and unrecorded ones are left out.
        parent: another process's span (`context_from`), or ROOT; the current span when None.
        service: whose span it is; the parent's service when None.
    """
    recorder = _recorder
    current = trace.get_current_span()
    if recorder is None:
        return current
    if parent is None:
        if type(current) is Span:  # not isinstance: on an abstract class it takes as long as a traceparent
            return _start(recorder, name, kind, attributes, links, current.get_span_context(), service or current.service)
        if current is not INVALID_SPAN:
            return current
        if kind is SpanKind.CLIENT:
            return INVALID_SPAN
    elif parent.is_valid:
        if parent.trace_flags.sampled:
            inherited = current.service if isinstance(current, Span) else recorder.process
            return _start(recorder, name, kind, attributes, links, parent, service or inherited)
        return UnsampledSpan(parent)
    return _begin_trace(recorder, name, kind, attributes, links, service or recorder.process)


def _begin_trace(
    recorder: _Recorder,
    name: str,
    kind: SpanKind,
    attributes: Mapping[str, AttributeValue] | None,
    links: Iterable[SpanContext | None],
    service: str,
) -> trace.Span:
    linked = [link for link in links if link is not None]
    trace_id = getrandbits(128)
    sampled = any(link.trace_flags.sampled for link in linked) if linked else recorder.sampler(trace_id)
    if not sampled:
        return UnsampledSpan(SpanContext(trace_id, getrandbits(64), False, _NOT_SAMPLED))
    return _start(recorder, name, kind, attributes, linked, None, service, trace_id)


def _start(
    recorder: _Recorder,
    name: str,
    kind: SpanKind,
    attributes: Mapping[str, AttributeValue] | None,
    links: Iterable[SpanContext | None],
    parent: SpanContext | None,
    service: str,
    trace_id: int = 0,
) -> Span:
    context = SpanContext(parent.trace_id if parent else trace_id, getrandbits(64), False, _SAMPLED)
    linked = tuple(Link(link) for link in links if link is not None and link.trace_flags.sampled) if links else ()
    return Span(name, context, parent, kind, dict(attributes or ()), linked, service, recorder.process, recorder.on_end)


def decided_here(edge: SpanContext) -> SpanContext:
    """The edge's context with this process's own decision whether to record, unless a ratio is set: that one the edge has applied."""
    if _recorder is not None and isinstance(_recorder.sampler, RatioSampler):
        return edge
    sampled = _recorder is not None and _recorder.sampler(edge.trace_id)
    return SpanContext(edge.trace_id, edge.span_id, True, _SAMPLED if sampled else _NOT_SAMPLED)


def current() -> trace.Span:
    """The span this code runs in; one that ignores everything when there is none."""
    return trace.get_current_span()


def current_context() -> SpanContext | None:
    """The running span's context, to link to it from elsewhere; None outside of a trace."""
    context = trace.get_current_span().get_span_context()
    return context if context.is_valid else None


def current_traceparent() -> str:
    """The running span's W3C `traceparent`, for a callee or an event; "" outside of a trace."""
    running = trace.get_current_span()
    return "" if running is INVALID_SPAN else traceparent_of(running.get_span_context())


def traceparent_of(context: SpanContext) -> str:
    """A context as W3C `traceparent`; "" for an invalid one."""
    if not context.is_valid:
        return ""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{'01' if context.trace_flags.sampled else '00'}"


def context_from(traceparent: str | None) -> SpanContext | None:
    """The context in a W3C `traceparent`; None when it is missing or malformed (https://www.w3.org/TR/trace-context/)."""
    if not traceparent or len(traceparent) < 55 or traceparent[2] != "-" or traceparent[35] != "-" or traceparent[52] != "-":
        return None
    try:
        trace_id, span_id, flags = int(traceparent[3:35], 16), int(traceparent[36:52], 16), int(traceparent[53:55], 16)
    except ValueError:
        return None
    context = SpanContext(trace_id, span_id, True, _SAMPLED if flags & 1 else _NOT_SAMPLED)
    return context if context.is_valid else None
