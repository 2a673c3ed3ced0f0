"""Ended spans on their way to their exporter.

The SDK's BatchSpanProcessor does the same with a lock, two clock readings and a copied context for every span.
"""

from __future__ import annotations

import threading
from collections import deque

import structlog
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter

from services.kit.telemetry.sampling import Sampler

QUEUE = 16_384
"""Ended spans that wait to be written; the oldest are dropped beyond that, and counted."""

_EXPORT_BATCH = 512
_EXPORT_EVERY_SECONDS = 0.2
_SHUTDOWN_SECONDS = 30.0

_log = structlog.stdlib.get_logger(__name__)


class Recorder:
    """A bounded queue, and a thread that hands over all that is in it a few times a second.

    Args:
        process: this process's name, for its spans.
        exporter: called by one thread at a time.
        sampler: decides on the traces that begin here.
    """

    def __init__(self, process: str, exporter: SpanExporter, sampler: Sampler) -> None:
        self.process = process
        self.sampler = sampler
        self._exporter = exporter
        self._queue: deque[ReadableSpan] = deque(maxlen=QUEUE)
        self._queued = 0
        self._exported = 0
        self._exporting = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="spans", daemon=True)
        self._thread.start()

    def add(self, ended: ReadableSpan) -> None:
        """Queues a span. Never waits."""
        self._queued += 1
        self._queue.append(ended)

    def flush(self) -> None:
        """Exports what is queued, now. Blocks."""
        with self._exporting:
            while self._queue:
                self._export([self._queue.popleft() for _ in range(min(len(self._queue), _EXPORT_BATCH))])

    def shutdown(self) -> None:
        """Exports what is queued and ends the exporter."""
        self._stopping.set()
        self._thread.join(_SHUTDOWN_SECONDS)
        self._exporter.shutdown()

    @property
    def dropped(self) -> int:
        """How many spans were lost to a full queue. Flushes first."""
        self.flush()
        return self._queued - self._exported

    def _run(self) -> None:
        while not self._stopping.wait(_EXPORT_EVERY_SECONDS):
            self.flush()
        self.flush()

    def _export(self, spans: list[ReadableSpan]) -> None:
        self._exported += len(spans)
        try:
            self._exporter.export(spans)
        except Exception as error:
            _log.warning("spans were not exported", spans=len(spans), exc_info=error)
