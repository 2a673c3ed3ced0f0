"""Spans that cost little.

`Span` is OpenTelemetry's own interface (`opentelemetry.trace.Span`) and what its SDK's processors and exporters read
(`ReadableSpan`), so that any exporter takes it. Only the making is ours: the SDK's tracer spends 40 µs on a span with two attributes
(locks, bounded copies, a second object at the end), this one a tenth of that.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextvars import Token
from functools import lru_cache
from time import time_ns
from types import TracebackType

from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode
from opentelemetry.util.types import Attributes, AttributeValue

_UNSET = Status(StatusCode.UNSET)
_SCOPE = InstrumentationScope("bazaar")
_REASON = re.compile(r"[A-Z][A-Z0-9_]{1,63}")


@lru_cache(maxsize=256)
def _resource_of(service: str, process: str) -> Resource:
    return Resource({"service.name": service, "service.instance.id": process})


class Span(ReadableSpan, trace.Span):
    """A recorded span: its clock starts when it is made and stops at `end()`, or at the end of its `with` block.

    Inside the block it is the current span. An exception that leaves the block marks it as failed, by type and reason alone: what an
    exception says may be personal.
    """

    _events: tuple[Event, ...] = ()
    _status = _UNSET
    _instrumentation_info = None
    _instrumentation_scope = _SCOPE
    _token: Token[Context] | None = None

    def __init__(  # pyright: ignore[reportMissingSuperCall] (every field of ReadableSpan is set here, without its defaults' cost)
        self,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        kind: SpanKind,
        attributes: dict[str, AttributeValue],
        links: tuple[trace.Link, ...],
        service: str,
        process: str,
        on_end: Callable[[ReadableSpan], None],
    ) -> None:
        self._name = name
        self._context = context
        self._parent = parent
        self._kind = kind
        self._attributes = attributes
        self._links = links
        self.service = service
        self.process = process
        self._on_end = on_end
        self._end_time = None
        self._start_time = time_ns()

    @property
    def resource(self) -> Resource:
        return _resource_of(self.service, self.process)

    def get_span_context(self) -> SpanContext:
        return self._context

    def is_recording(self) -> bool:
        return self._end_time is None

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        self._attributes[key] = value

    def set_attributes(self, attributes: Mapping[str, AttributeValue]) -> None:
        self._attributes.update(attributes)

    def add_link(self, context: SpanContext, attributes: Attributes = None) -> None:
        """Links another trace's span; one that is not recorded is left out."""
        if context.trace_flags.sampled:
            self._links = (*self._links, trace.Link(context, attributes))

    def add_event(self, name: str, attributes: Attributes = None, timestamp: int | None = None) -> None:
        self._events = (*self._events, Event(name, attributes, timestamp))

    def update_name(self, name: str) -> None:
        self._name = name

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        self._status = status if isinstance(status, Status) else Status(status, description)

    def record_exception(
        self,
        exception: BaseException,
        attributes: Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        """Marks the span as failed with the exception's type and reason; its message and traceback stay out of traces."""
        self._attributes["error.type"] = type(exception).__name__
        self._status = Status(StatusCode.ERROR, error_text(exception))

    def end(self, end_time: int | None = None) -> None:
        if self._end_time is None:
            self._end_time = end_time or time_ns()
            self._on_end(self)

    def __enter__(self) -> Span:
        self._token = context_api.attach(trace.set_span_in_context(self))
        return self

    def __exit__(self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None) -> None:
        if self._token is not None:
            context_api.detach(self._token)
            self._token = None
        if exc_val is not None and self._status is _UNSET:
            self.record_exception(exc_val)
        self.end()


class UnsampledSpan(trace.NonRecordingSpan):
    """Stands for a trace that is not recorded: carries its ids on to callees, so that they don't record it either."""

    _token: Token[Context] | None = None

    def __enter__(self) -> trace.Span:
        # What becomes current is a plain span: `span()` hands that one out again, and entering it must not attach it twice.
        inner = trace.NonRecordingSpan(self.get_span_context())
        self._token = context_api.attach(trace.set_span_in_context(inner))
        return inner

    def __exit__(self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None) -> None:
        if self._token is not None:
            context_api.detach(self._token)
            self._token = None


def error_text(exception: BaseException) -> str:
    """An exception's type name and, where it has one, its reason, gRPC code or SQLSTATE: never its message."""
    name = type(exception).__name__
    reason = _reason_in(exception)
    return f"{name}: {reason}" if reason else name


def _reason_in(exception: BaseException) -> str | None:
    for attribute in ("reason", "sqlstate", "code"):
        value = getattr(exception, attribute, None)
        if callable(value):
            value = getattr(value(), "name", None)
        if isinstance(value, str) and (_REASON.fullmatch(value) or (attribute == "sqlstate" and len(value) == 5)):
            return value
    return None
