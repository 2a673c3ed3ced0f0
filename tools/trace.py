"""Draws an order's trace as a waterfall, from the local store."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from zlib import crc32

from rich.console import Console
from rich.text import Text

from services.kit.telemetry.store import StoredSpan, find_trace, read_traces
from tools import ExpectedFailure

_COLOURS = ("cyan", "green", "yellow", "blue", "magenta", "bright_cyan", "bright_green", "bright_yellow", "bright_blue", "bright_magenta")
_FIGURES = 20
"""Columns for when a span began and how long it took."""
_LEAST_BAR = 10
_PLAIN_WIDTH = 140
"""Columns when the output goes to a file or a pipe."""


def show(order_id: str, directory: Path, console: Console | None = None) -> None:
    """Prints every trace of an order, then the batches that worked on it with others' orders.

    Args:
        directory: the trace store, `home/traces`.

    Raises:
        ExpectedFailure: no trace of this order is kept.
    """
    console = console or Console(width=None if sys.stdout.isatty() else _PLAIN_WIDTH)
    traces = find_trace(directory, order_id)
    if not traces:
        raise ExpectedFailure(
            f"no trace of order {order_id} in {directory}: it was not recorded (BAZAAR_TRACE_SAMPLING=all records every one), "
            "or is older than the store keeps"
        )
    spans = read_traces(directory, traces)
    own = [span for span in spans if span.trace_id in traces]
    batches = [span for span in spans if span.trace_id not in traces]
    console.print(_summary(order_id, own, batches))
    for title, group in (("trace", own), ("batch", batches)):
        for trace in _by_trace(group):
            console.print()
            for line in waterfall(trace, title, console.width):
                console.print(line, no_wrap=True, overflow="ellipsis", crop=True, soft_wrap=False)


def waterfall(trace: Sequence[StoredSpan], title: str, width: int) -> Iterator[Text]:
    """One trace's lines, each at most `width` columns: a header, then a line a span, indented below its parent."""
    start, end = min(span.start for span in trace), max(span.end for span in trace)
    rows = list(_tree(trace))
    longest = max(len(_label(span, depth)) for span, depth in rows)
    room = max(width - _FIGURES, 2 * _LEAST_BAR)
    label_width = min(longest + 1, room - min(room // 3, 60))
    bar_width = room - label_width
    began = datetime.fromtimestamp(start / 1e9, UTC).strftime("%H:%M:%S.%f")[:-3]
    yield Text(f"{title} {trace[0].trace_id}  {began} UTC  {_milliseconds(end - start).strip()}", style="bold", end="")
    for span, depth in rows:
        yield _row(span, depth, label_width, bar_width, start, max(end - start, 1))


def _row(span: StoredSpan, depth: int, label_width: int, bar_width: int, start: int, duration: int) -> Text:
    colour = _COLOURS[crc32(span.service.encode()) % len(_COLOURS)]
    label = Text(_label(span, depth), style="red" if span.error else "", end="")
    if not span.error:
        indent = 2 * depth
        label.stylize(colour, indent, indent + len(span.service))
    label.truncate(label_width - 1, overflow="ellipsis")
    label.pad_right(label_width - label.cell_len)
    before = min(round(bar_width * (span.start - start) / duration), bar_width - 1)
    length = min(max(round(bar_width * (span.end - span.start) / duration), 1), bar_width - before)
    bar = Text(" " * before + "━" * length + " " * (bar_width - before - length), style="red" if span.error else colour, end="")
    figures = Text(f"{'+' + _milliseconds(span.start - start).strip():>10}{_milliseconds(span.end - span.start)}", end="")
    return Text.assemble(label, bar, figures, end="")


def _label(span: StoredSpan, depth: int) -> str:
    return f"{'  ' * depth}{span.service} {span.name}" + (f" ✗ {span.error}" if span.error else "")


def _tree(trace: Iterable[StoredSpan]) -> Iterator[tuple[StoredSpan, int]]:
    """Every span with its depth, parents before children, siblings by their start. A span whose parent is not kept counts as a root."""
    spans = sorted(trace, key=lambda span: span.start)
    known = {span.span_id for span in spans}
    children: dict[str, list[StoredSpan]] = defaultdict(list)
    for span in spans:
        children[span.parent_id if span.parent_id in known else ""].append(span)
    waiting = [(span, 0) for span in reversed(children[""])]
    while waiting:
        span, depth = waiting.pop()
        yield span, depth
        waiting += [(child, depth + 1) for child in reversed(children[span.span_id])]


def _by_trace(spans: Sequence[StoredSpan]) -> list[list[StoredSpan]]:
    """The spans grouped by trace, the trace that began first before the others."""
    grouped = groupby(sorted(spans, key=lambda span: (span.trace_id, span.start)), key=lambda span: span.trace_id)
    return sorted((list(group) for _, group in grouped), key=lambda trace: trace[0].start)


def _summary(order_id: str, own: Sequence[StoredSpan], batches: Sequence[StoredSpan]) -> Text:
    services = len({span.service for span in own})
    errors = sum(bool(span.error) for span in own)
    counts = [
        _count(len({span.trace_id for span in own}), "trace"),
        _count(len(own), "span"),
        _count(services, "service"),
        _count(len({span.trace_id for span in batches}), "batch", "batches"),
        _count(errors, "error"),
    ]
    return Text.assemble(("order " + order_id, "bold"), "  ", ", ".join(counts))


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def _milliseconds(nanoseconds: int) -> str:
    milliseconds = nanoseconds / 1e6
    return f"{milliseconds / 1000:.1f} s".rjust(10) if milliseconds >= 10_000 else f"{milliseconds:.1f} ms".rjust(10)
