"""Spans that cost little.

`Span` is OpenTelemetry's own interface (`opentelemetry.trace.Span`) and what its SDK's exporters read (`ReadableSpan`), so that any
exporter takes it. Only the making is ours: the SDK's tracer spends 40 µs on a span with two attributes (locks, bounded copies, a second
object at the end), this one a twentieth of that. Ids are kept as the text that `traceparent` and the store hold; the interface's contexts
are made for those who ask.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextvars import Token
from functools import cached_property, lru_cache
from random import getrandbits
from time import time_ns
from types import TracebackType
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode
from opentelemetry.util.types import Attributes, AttributeValue

from services.kit.telemetry.running import SAMPLED, UnrecordedSpan, enter, leave

_UNSET = Status(StatusCode.UNSET)
_SCOPE = InstrumentationScope("bazaar")
_REASON = re.compile(r"[A-Z][A-Z0-9_]{1,63}")


class Span(ReadableSpan, trace.Span):
    """A recorded span: its clock starts when it is made and stops at `end()`, or at the end of its `with` block.

    Inside the block it is the current span. An exception that leaves the block marks it as failed, by type and reason alone: what an
    exception says may be personal.

    Args:
        trace_id: 32 hex digits.
        parent_id: 16 hex digits; "" for a trace's first span.
        attributes: the span's own from now on.
        on_end: takes the span when it has ended.
    """

    _events: tuple[Event, ...] = ()
    _status = _UNSET
    _instrumentation_info = None
    _instrumentation_scope = _SCOPE
    _end_time: int | None = None
    _token: Token[AnySpan] | None = None
    is_parent_remote = False
    """Whether the parent is another process's span, or an event's."""

    def __init__(  # pyright: ignore[reportMissingSuperCall] (every field of ReadableSpan is set here, without its defaults' cost)
        self,
        name: str,
        trace_id: str,
        parent_id: str,
        kind: SpanKind,
        attributes: dict[str, AttributeValue],
        links: tuple[trace.Link, ...],
        service: str,
        process: str,
        on_end: Callable[[ReadableSpan], None],
    ) -> None:
        self._name = name
        self.trace_id = trace_id
        self.span_id = f"{getrandbits(64):016x}"
        self.parent_id = parent_id
        self._kind = kind
        self._attributes = attributes
        self._links = links
        self.service = service
        self.process = process
        self._on_end = on_end
        self._start_time = time_ns()

    @property
    def resource(self) -> Resource:
        return _resource_of(self.service, self.process)

    @property
    def traceparent(self) -> str:
        """What makes a callee's spans, or an event's, children of this one (W3C)."""
        return f"00-{self.trace_id}-{self.span_id}-01"

    @cached_property
    def _context(self) -> SpanContext:  # pyright: ignore[reportIncompatibleVariableOverride] (ReadableSpan's field, made when it is read)
        return SpanContext(int(self.trace_id, 16), int(self.span_id, 16), False, SAMPLED)

    @cached_property
    def _parent(self) -> SpanContext | None:  # pyright: ignore[reportIncompatibleVariableOverride] (the same)
        return SpanContext(int(self.trace_id, 16), int(self.parent_id, 16), self.is_parent_remote, SAMPLED) if self.parent_id else None

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

    def stored(self) -> dict[str, Any]:
        """What the local store keeps of it, in the store's order; without its links."""
        return {
            "trace_id": self.trace_id,
            "span_id": self.span_id,
            "parent_id": self.parent_id,
            "name": self._name,
            "kind": self._kind.name,
            "service": self.service,
            "process": self.process,
            "start": self._start_time,
            "end": self._end_time or 0,
            "error": "" if self._status is _UNSET else _error_in(self._status),
            "attributes": self._attributes,
        }

    def __enter__(self) -> Span:
        self._token = enter(self)
        return self

    def __exit__(self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None) -> None:
        if self._token is not None:
            leave(self._token)
            self._token = None
        if exc_val is not None and self._status is _UNSET:
            self.record_exception(exc_val)
        self.end()


AnySpan = Span | UnrecordedSpan


@lru_cache(maxsize=256)
def _resource_of(service: str, process: str) -> Resource:
    return Resource({"service.name": service, "service.instance.id": process})


def _error_in(status: Status) -> str:
    return (status.description or "error") if status.status_code is StatusCode.ERROR else ""


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
