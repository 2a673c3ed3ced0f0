"""The span that code runs in, and what stands for it where nothing is recorded."""

from __future__ import annotations

from contextvars import Token
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import INVALID_SPAN_CONTEXT, SpanContext, TraceFlags

if TYPE_CHECKING:
    from services.kit.telemetry.spans import AnySpan

SAMPLED = TraceFlags(TraceFlags.SAMPLED)
NOT_SAMPLED = TraceFlags(TraceFlags.DEFAULT)


class UnrecordedSpan(trace.NonRecordingSpan):
    """The current span of a trace that is not recorded; without a `traceparent`, of no trace at all. Entering it changes nothing."""

    def __init__(self, traceparent: str) -> None:  # pyright: ignore[reportMissingSuperCall] (its context is made when it is read)
        self.traceparent = traceparent

    @cached_property
    def _context(self) -> SpanContext:  # pyright: ignore[reportIncompatibleVariableOverride] (NonRecordingSpan's field)
        if not self.traceparent:
            return INVALID_SPAN_CONTEXT
        return SpanContext(int(self.traceparent[3:35], 16), int(self.traceparent[36:52], 16), True, NOT_SAMPLED)

    def __enter__(self) -> UnrecordedSpan:
        return self


class UnsampledSpan(UnrecordedSpan):
    """Begins, or goes on with, a trace that is not recorded: carries its ids on to callees, so that they don't record it either."""

    _token: Token[Context] | None = None

    def __enter__(self) -> UnrecordedSpan:
        # What becomes current is another object: `span()` hands that one out again, and entering it must not attach it twice.
        inner = UnrecordedSpan(self.traceparent)
        self._token = enter(inner)
        return inner

    def __exit__(self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None) -> None:
        if self._token is not None:
            detach(self._token)
            self._token = None


NO_SPAN = UnrecordedSpan("")
"""Outside of any trace."""


def current_span() -> AnySpan:
    """The span this code runs in; NO_SPAN when there is none."""
    # Typed as any: nobody but us makes spans here.
    found: Any = trace.get_current_span()
    return NO_SPAN if found is trace.INVALID_SPAN else found


def enter(span: AnySpan) -> Token[Context]:
    """Makes a span the current one, until `detach` of what is returned."""
    return attach(trace.set_span_in_context(span))
