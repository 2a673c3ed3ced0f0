"""The local trace store, read.

An order's traces are found by the bytes of its id before any JSON is parsed, so that a store of 256 MiB answers in about a second.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import field
from pathlib import Path
from typing import Any

import orjson

from services.kit.telemetry.tracing import ORDER_ID
from services.kit.values import value

_TRACE_ID = slice(13, 45)
"""Where a line holds its trace id: after `{"trace_id":"`."""


@value
class StoredSpan:
    """One span. Times are nanoseconds since 1970."""

    trace_id: str
    span_id: str
    parent_id: str
    """ "" for a trace's first span."""
    name: str
    kind: str
    """SERVER, CLIENT, PRODUCER, CONSUMER or INTERNAL."""
    service: str
    process: str
    start: int
    end: int
    error: str
    """Why it failed: an exception's type and reason, or a status; "" when it didn't."""
    attributes: dict[str, Any] = field(default_factory=dict[str, Any])
    links: tuple[tuple[str, str], ...] = ()
    """(trace id, span id) of each span of another trace that this one belongs to."""

    @property
    def milliseconds(self) -> float:
        return (self.end - self.start) / 1e6


def find_trace(directory: Path, order_id: str) -> list[str]:
    """The ids of the traces that have a span of this order, the earliest first."""
    needle = b'"%s":%s' % (ORDER_ID.encode(), orjson.dumps(order_id))
    started: dict[str, int] = {}
    for segment in _segments(directory):
        for line in _lines_with(segment, needle):
            if (span := _parse(line)) and span.attributes.get(ORDER_ID) == order_id:
                started[span.trace_id] = min(span.start, started.get(span.trace_id, span.start))
    return sorted(started, key=lambda trace_id: started[trace_id])


def read_trace(directory: Path, trace_id: str) -> list[StoredSpan]:
    """A trace's spans and those of the traces linked from or to it (batches), each once, the earliest first.

    Links are followed one step: a batch's other callers are not part of the story.
    """
    return read_traces(directory, [trace_id])


def read_traces(directory: Path, trace_ids: Iterable[str]) -> list[StoredSpan]:
    """The same for several traces at once, such as all of an order's."""
    wanted = set(trace_ids)
    near = [
        span
        for segment in _segments(directory)
        for needle in wanted
        for line in _lines_with(segment, needle.encode())
        if (span := _parse(line))
    ]
    own = [span for span in near if span.trace_id in wanted]
    linked = {trace for span in own for trace, _ in span.links} | {span.trace_id for span in near if span.trace_id not in wanted}
    spans = {(span.trace_id, span.span_id): span for span in own}
    if others := linked - wanted:
        spans |= {(span.trace_id, span.span_id): span for segment in _segments(directory) for span in _spans_of(segment, others)}
    return sorted(spans.values(), key=lambda span: (span.start, span.span_id))


def _segments(directory: Path) -> Iterator[bytes]:
    for path in sorted(directory.glob("*.jsonl")):
        try:
            yield path.read_bytes()
        except FileNotFoundError:
            continue  # dropped for its age meanwhile


def _lines_with(segment: bytes, needle: bytes) -> Iterator[bytes]:
    """The lines that hold `needle`, each once."""
    at = segment.find(needle)
    while at >= 0:
        start, end = segment.rfind(b"\n", 0, at) + 1, segment.find(b"\n", at)
        if end < 0:
            return  # still being written
        yield segment[start:end]
        at = segment.find(needle, end)


def _spans_of(segment: bytes, trace_ids: set[str]) -> Iterator[StoredSpan]:
    encoded = {trace_id.encode() for trace_id in trace_ids}
    for line in segment.splitlines():
        if line[_TRACE_ID] in encoded and (span := _parse(line)):
            yield span


def _parse(line: bytes) -> StoredSpan | None:
    """None for a line cut short, by a full disk or because it is being written."""
    try:
        fields = orjson.loads(line)
        links = tuple((link[:32], link[33:]) for link in fields.pop("links"))
        return StoredSpan(**fields, links=links)
    except (orjson.JSONDecodeError, TypeError, KeyError):
        return None
