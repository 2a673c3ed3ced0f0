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

import re
from collections.abc import Iterable, Mapping
from random import getrandbits

from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.trace import INVALID_SPAN_CONTEXT, Link, SpanContext, SpanKind
from opentelemetry.util.types import AttributeValue

from services.kit.telemetry.recorder import Recorder
from services.kit.telemetry.running import NO_SPAN, NOT_SAMPLED, SAMPLED, UnsampledSpan, current_span
from services.kit.telemetry.sampling import RatioSampler, sampler_from
from services.kit.telemetry.spans import AnySpan, Span

__all__ = [
    "ORDER_ID",
    "ROOT",
    "AnySpan",
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
    "span_below",
    "traceparent_of",
]

ORDER_ID = "bazaar.order_id"
"""The attribute that marks an order's spans."""

ROOT: SpanContext = INVALID_SPAN_CONTEXT
"""As `parent`: begins a new trace even inside a span (a batch, a background task)."""

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]([0-9a-f])")
_SAMPLED_FLAGS = frozenset("13579bdf")
_NOTHING: Mapping[str, AttributeValue] = {}

_recorder: Recorder | None = None


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
    _recorder = Recorder(process, exporter, sampler) if exporter else None


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
) -> AnySpan:
    """Starts a span; use it as a context manager, or `end()` it.

    Args:
        name: of few values: "INSERT orders", never with ids in it.
        attributes: nothing personal: no names, emails, phones, addresses, tokens.
        links: spans of other traces that this one belongs to as well; None and unrecorded ones are left out.
        parent: another process's span (`context_from`), or ROOT; the current span when None.
        service: whose span it is; the parent's service when None.
    """
    recorder, current = _recorder, current_span()
    if recorder is None:
        return current
    if parent is None:
        if type(current) is Span:  # not isinstance: on an abstract class it takes as long as a traceparent
            return _child(recorder, current.trace_id, current.span_id, name, kind, attributes, links, service or current.service)
        if current is not NO_SPAN:
            return current
        if kind is SpanKind.CLIENT:
            return NO_SPAN
    elif parent.is_valid:
        return _below(recorder, parent, name, kind, attributes, links, service or _inherited(recorder, current))
    return _begin_trace(recorder, name, kind, attributes, links, service or recorder.process)


def span_below(traceparent: str | None, name: str, *, kind: SpanKind, attributes: dict[str, AttributeValue], service: str) -> AnySpan:
    """Starts a span as a child of another process's, or as the first of its trace when there is no (well-formed) `traceparent`.

    `span()` with less to do: this is on the way of every call.
    """
    recorder = _recorder
    if recorder is None:
        return current_span()
    found = _TRACEPARENT.match(traceparent) if traceparent else None
    if found is None or traceparent is None:
        return _begin_trace(recorder, name, kind, attributes, (), service)
    trace_id, parent_id, flags = found.groups()
    if flags in _SAMPLED_FLAGS:
        started = Span(name, trace_id, parent_id, kind, attributes, (), service, recorder.process, recorder.add)
        started.is_parent_remote = True
        return started
    return UnsampledSpan(traceparent)


def _begin_trace(
    recorder: Recorder,
    name: str,
    kind: SpanKind,
    attributes: Mapping[str, AttributeValue] | None,
    links: Iterable[SpanContext | None],
    service: str,
) -> AnySpan:
    linked = [link for link in links if link is not None]
    trace_id = getrandbits(128)
    sampled = any(link.trace_flags.sampled for link in linked) if linked else recorder.sampler(trace_id)
    if not sampled:
        return UnsampledSpan(f"00-{trace_id:032x}-{getrandbits(64):016x}-00")
    return _child(recorder, f"{trace_id:032x}", "", name, kind, attributes, linked, service)


def _below(
    recorder: Recorder,
    parent: SpanContext,
    name: str,
    kind: SpanKind,
    attributes: Mapping[str, AttributeValue] | None,
    links: Iterable[SpanContext | None],
    service: str,
) -> AnySpan:
    if not parent.trace_flags.sampled:
        return UnsampledSpan(traceparent_of(parent))
    child = _child(recorder, f"{parent.trace_id:032x}", f"{parent.span_id:016x}", name, kind, attributes, links, service)
    child.is_parent_remote = parent.is_remote
    return child


def _child(
    recorder: Recorder,
    trace_id: str,
    parent_id: str,
    name: str,
    kind: SpanKind,
    attributes: Mapping[str, AttributeValue] | None,
    links: Iterable[SpanContext | None],
    service: str,
) -> Span:
    linked = tuple(Link(link) for link in links if link is not None and link.trace_flags.sampled) if links else ()
    return Span(name, trace_id, parent_id, kind, dict(attributes or _NOTHING), linked, service, recorder.process, recorder.add)


def _inherited(recorder: Recorder, current: AnySpan) -> str:
    return current.service if isinstance(current, Span) else recorder.process


def decided_here(traceparent: str) -> str:
    """The edge's traceparent with this process's own decision whether to record, unless a ratio is set: that one the edge has applied."""
    recorder, found = _recorder, _TRACEPARENT.match(traceparent)
    if recorder is None or found is None or isinstance(recorder.sampler, RatioSampler):
        return traceparent
    return f"00-{found[1]}-{found[2]}-{'01' if recorder.sampler(int(found[1], 16)) else '00'}"


def current() -> AnySpan:
    """The span this code runs in; one that ignores everything when there is none."""
    return current_span()


def current_context() -> SpanContext | None:
    """The running span's context, to link to it from elsewhere; None outside of a trace."""
    context = current_span().get_span_context()
    return context if context.is_valid else None


def current_traceparent() -> str:
    """The running span's W3C `traceparent`, for a callee or an event; "" outside of a trace."""
    return current_span().traceparent


def traceparent_of(context: SpanContext) -> str:
    """A context as W3C `traceparent`; "" for an invalid one."""
    if not context.is_valid:
        return ""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{'01' if context.trace_flags.sampled else '00'}"


def context_from(traceparent: str | None) -> SpanContext | None:
    """The context in a W3C `traceparent`; None when it is missing or malformed (https://www.w3.org/TR/trace-context/)."""
    found = _TRACEPARENT.match(traceparent) if traceparent else None
    if found is None:
        return None
    trace_id, span_id, flags = found.groups()
    return SpanContext(int(trace_id, 16), int(span_id, 16), True, SAMPLED if flags in _SAMPLED_FLAGS else NOT_SAMPLED)
