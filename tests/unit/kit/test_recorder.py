"""What becomes of spans between their end and their export."""

import threading

from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from services.kit.telemetry import tracing
from services.kit.telemetry.recorder import QUEUE


class StuckExporter(SpanExporter):
    """Takes what comes first and holds on to it until released."""

    def __init__(self) -> None:
        self.is_stuck, self.released = threading.Event(), threading.Event()

    def export(self, spans):
        self.is_stuck.set()
        self.released.wait(10)
        return SpanExportResult.SUCCESS


class BreakingExporter(SpanExporter):
    """Fails at the first spans that come, and counts the others."""

    def __init__(self) -> None:
        self.has_failed, self.taken, self.is_shut_down = False, 0, False

    def export(self, spans):
        if not self.has_failed:
            self.has_failed = True
            raise OSError("no way")
        self.taken += len(spans)
        return SpanExportResult.SUCCESS

    def shutdown(self):
        self.is_shut_down = True


def test_spans_lost_to_a_full_queue_are_counted():
    exporter = StuckExporter()
    tracing.setup("test", exporter, "all")
    tracing.span("taken").end()
    exporter.is_stuck.wait(10)
    for _ in range(QUEUE + 3):
        tracing.span("queued").end()
    exporter.released.set()

    assert tracing.dropped() == 3
    tracing.shutdown()


def test_an_exporter_that_fails_gets_the_next_spans():
    exporter = BreakingExporter()
    tracing.setup("test", exporter, "all")
    for _ in range(2):
        tracing.span("work").end()
        tracing.flush()

    assert exporter.taken == 1
    tracing.shutdown()


def test_a_shutdown_exports_what_is_queued_first():
    exporter = BreakingExporter()
    exporter.has_failed = True
    tracing.setup("test", exporter, "all")
    tracing.span("work").end()
    tracing.shutdown()

    assert (exporter.taken, exporter.is_shut_down) == (1, True)


def test_spans_are_exported_without_being_asked_for():
    exporter = StuckExporter()
    exporter.released.set()
    tracing.setup("test", exporter, "all")
    tracing.span("work").end()

    assert exporter.is_stuck.wait(10)
    tracing.shutdown()
