"""The span that code runs in, and what stands for it where nothing is recorded."""

from __future__ import annotations

from contextvars import ContextVar, Token
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING

from opentelemetry import trace
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

    _token: Token[AnySpan] | None = None

    def __enter__(self) -> UnrecordedSpan:
        # What becomes current is another object: `span()` hands that one out again, and entering it must not attach it twice.
        inner = UnrecordedSpan(self.traceparent)
        self._token = enter(inner)
        return inner

    def __exit__(self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None) -> None:
        if self._token is not None:
            leave(self._token)
            self._token = None


NO_SPAN = UnrecordedSpan("")
"""Outside of any trace."""


# Not OpenTelemetry's own context: a dictionary in a variable, copied at every entry, for other things than spans, of which there are none.
_current: ContextVar[AnySpan] = ContextVar("bazaar_span", default=NO_SPAN)


def current_span() -> AnySpan:
    """The span this code runs in; NO_SPAN when there is none."""
    return _current.get()


def enter(span: AnySpan) -> Token[AnySpan]:
    """Makes a span the current one, until `leave` of what is returned."""
    return _current.set(span)


def leave(token: Token[AnySpan]) -> None:
    """Makes the span current again that was before."""
    try:
        _current.reset(token)
    except ValueError:
        return  # A generator that is closed late leaves in another context than it entered in, where the span isn't current.
