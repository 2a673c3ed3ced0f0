"""Telemetry of a process, from its settings."""

from __future__ import annotations

from services.kit.settings import Settings
from services.kit.telemetry import logs, tracing
from services.kit.telemetry.collector import Collector
from services.kit.telemetry.sampling import sampler_from
from services.kit.telemetry.segments import SegmentWriter


def start(settings: Settings) -> None:
    """Begins to log and to record traces. `tracing.shutdown()` ends the latter, and writes what is queued.

    Raises:
        ValueError: BAZAAR_TRACE_SAMPLING is not understood.
    """
    logs.setup(settings.process, settings.log_level)
    writer = SegmentWriter(settings.trace_dir, settings.process) if settings.trace_dir else None
    tracing.setup(settings.process, writer, settings.trace_sampling)


def collector(settings: Settings) -> Collector | None:
    """The servicer for Envoy's spans; None when no traces are kept."""
    if settings.trace_dir is None:
        return None
    # With a ratio set the edge has applied it already.
    sampler = sampler_from("all" if settings.trace_sampling else "")
    return Collector(SegmentWriter(settings.trace_dir, f"edge-{settings.process}"), sampler)
