"""The local trace store's files, written.

One JSON line a span, appended to `<process>-<n>.jsonl`; a new segment after 8 MiB or an hour, so that whole files can be dropped when
the store is over its size or a file over its age. `kit.telemetry.store` reads them.

A trace is never worth a request: on a full disk or in an unwritable directory spans are dropped, with one warning until writing works
again.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import orjson
import structlog
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import Link, SpanContext

from services.kit.telemetry.spans import Span

SEGMENT_BYTES = 8 * 1024 * 1024
SEGMENT_SECONDS = 3600.0
STORE_BYTES = 256 * 1024 * 1024
STORE_SECONDS = 24 * 3600.0
_TIDY_SECONDS = 60.0

_log = structlog.stdlib.get_logger(__name__)


class SegmentWriter(SpanExporter):
    """Appends spans to this process's segments.

    Args:
        directory: the store, shared by all processes; made when missing.
        process: this process's name, such as "worker-1"; no two running processes share one.
        segment_bytes, store_bytes: the most a file and the whole store hold; the store may exceed it by a segment a process.
        store_seconds: the most a file's last span may be old.
    """

    def __init__(
        self,
        directory: Path,
        process: str,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        store_bytes: int = STORE_BYTES,
        store_seconds: float = STORE_SECONDS,
    ) -> None:
        self._directory = directory
        self._process = process
        self._segment_bytes = segment_bytes
        self._store_bytes = store_bytes
        self._store_seconds = store_seconds
        self._lock = threading.Lock()
        self._file: int | None = None
        self._opened_at = 0.0
        self._tidied_at = 0.0
        self._is_failing = False
        self.dropped = 0
        """Spans lost to a disk that would not take them."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        written = self.append([line_of(span) for span in spans if isinstance(span, Span)])
        return SpanExportResult.SUCCESS if written else SpanExportResult.FAILURE

    def append(self, lines: Sequence[bytes]) -> bool:
        """Appends encoded spans; answers whether they were written. Never raises OSError."""
        with self._lock:
            try:
                self._write(b"".join(lines))
            except OSError as error:
                self._give_up(len(lines), error)
                return False
            self._is_failing = False
            return True

    def shutdown(self) -> None:
        with self._lock:
            self._close()

    def _write(self, block: bytes) -> None:
        file = self._segment()
        if self._is_failing:
            block = b"\n" + block  # what failed may have left half a line
        while block:
            block = block[os.write(file, block) :]

    def _segment(self) -> int:
        """The open segment; a new one when it is full, old, or was dropped by another process's tidying."""
        now = time.monotonic()
        if self._file is not None:
            status = os.fstat(self._file)
            if status.st_size >= self._segment_bytes or status.st_nlink == 0 or now - self._opened_at > SEGMENT_SECONDS:
                self._close()
        if self._file is None:
            self._file, self._opened_at, self._tidied_at = self._open(), now, 0.0
        if now - self._tidied_at > _TIDY_SECONDS:
            self._tidied_at = now
            tidy(self._directory, store_bytes=self._store_bytes, store_seconds=self._store_seconds)
        return self._file

    def _open(self) -> int:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        pattern = re.compile(re.escape(self._process) + r"-(\d+)\.jsonl")
        taken = [int(match[1]) for entry in os.scandir(self._directory) if (match := pattern.fullmatch(entry.name))]
        path = self._directory / f"{self._process}-{max(taken, default=-1) + 1}.jsonl"
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _give_up(self, count: int, error: OSError) -> None:
        self.dropped += count
        self._close()
        if not self._is_failing:
            self._is_failing = True
            _log.warning("traces are not kept", directory=str(self._directory), reason=error.strerror)


def tidy(directory: Path, *, store_bytes: int = STORE_BYTES, store_seconds: float = STORE_SECONDS) -> None:
    """Drops the store's oldest segments until the rest is within size and age. Several processes may do so at once."""
    found: list[tuple[float, int, str]] = []
    for entry in os.scandir(directory):
        if entry.name.endswith(".jsonl"):
            try:
                status = entry.stat()
            except FileNotFoundError:
                continue  # another process was faster
            found.append((status.st_mtime, status.st_size, entry.path))
    total, oldest = sum(size for _, size, _ in found), time.time() - store_seconds
    for written_at, size, path in sorted(found):
        if total <= store_bytes and written_at >= oldest:
            break
        Path(path).unlink(missing_ok=True)
        total -= size


def line_of(span: Span) -> bytes:
    """A span as the store keeps it."""
    fields = span.stored()
    fields["links"] = [_link_text(link) for link in span.links]
    return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)


def encode(*, trace_id: str, links: Iterable[str] = (), **fields: Any) -> bytes:
    """One line. `trace_id` comes first: `store` finds it by its place in the line."""
    return orjson.dumps({"trace_id": trace_id, **fields, "links": list(links)}, option=orjson.OPT_APPEND_NEWLINE)


def link_text(trace_id: str, span_id: str) -> str:
    """A link as the store keeps it."""
    return f"{trace_id}-{span_id}"


def _link_text(link: Link) -> str:
    context: SpanContext = link.context
    return link_text(f"{context.trace_id:032x}", f"{context.span_id:016x}")
