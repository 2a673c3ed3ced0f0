import os
import time
from pathlib import Path

import pytest
import structlog

from services.kit.telemetry import store, tracing
from services.kit.telemetry.segments import SegmentWriter, encode, line_of, link_text, tidy
from tests.spans import recorded

ORDER = "0190c0de-0000-7000-8000-000000000001"


def line(
    trace: str, span: str = "1", *, order: str = "", links: tuple[tuple[str, str], ...] = (), start: int = 0, name: str = "x"
) -> bytes:
    return encode(
        trace_id=trace.zfill(32),
        span_id=span.zfill(16),
        parent_id="",
        name="x",
        kind="INTERNAL",
        service="orders",
        process="worker-1",
        start=start,
        end=start + 1,
        error="",
        attributes={"bazaar.order_id": order} if order else {},
        links=[link_text(linked_trace.zfill(32), linked_span.zfill(16)) for linked_trace, linked_span in links],
    )


def written(directory: Path, *lines: bytes) -> Path:
    (directory / "worker-1-0.jsonl").write_bytes(b"".join(lines))
    return directory


def told(spans: list[store.StoredSpan]) -> list[tuple[str, str]]:
    return [(span.trace_id.lstrip("0"), span.span_id.lstrip("0")) for span in spans]


def test_a_recorded_span_reads_back_as_it_was(tmp_path: Path):
    tracing.setup("worker-1", SegmentWriter(tmp_path, "worker-1"), "all")
    with tracing.span("PlaceOrder", kind=tracing.SpanKind.SERVER, attributes={"bazaar.order_id": ORDER}, service="checkout"):
        pass
    tracing.shutdown()

    (trace_id,) = store.find_trace(tmp_path, ORDER)
    (span,) = store.read_trace(tmp_path, trace_id)
    assert (span.name, span.kind, span.service, span.process, span.parent_id, span.error, span.attributes) == (
        "PlaceOrder",
        "SERVER",
        "checkout",
        "worker-1",
        "",
        "",
        {"bazaar.order_id": ORDER},
    )


def test_a_failed_span_keeps_its_reason():
    with recorded() as spans, pytest.raises(KeyError), tracing.span("reserve"):
        raise KeyError("asha@example.com")

    assert b'"error":"KeyError"' in line_of(spans.named("reserve"))


def test_an_orders_traces_are_found_the_earliest_first(tmp_path: Path):
    written(tmp_path, line("b", order=ORDER, start=9), line("a", order=ORDER, start=5), line("c", order="another"))

    assert [trace.lstrip("0") for trace in store.find_trace(tmp_path, ORDER)] == ["a", "b"]


def test_an_unknown_order_has_no_trace(tmp_path: Path):
    written(tmp_path, line("a", order=ORDER))

    assert store.find_trace(tmp_path, "another") == []


def test_a_trace_comes_with_the_traces_it_links_to(tmp_path: Path):
    written(tmp_path, line("a", links=(("b", "7"),)), line("b", "7", start=1), line("b", "8", start=2), line("c"))

    assert told(store.read_trace(tmp_path, "a".zfill(32))) == [("a", "1"), ("b", "7"), ("b", "8")]


def test_a_trace_comes_with_the_traces_that_link_to_it(tmp_path: Path):
    written(tmp_path, line("a"), line("b", "7", links=(("a", "1"),), start=1), line("b", "8", start=2), line("c"))

    assert told(store.read_trace(tmp_path, "a".zfill(32))) == [("a", "1"), ("b", "7"), ("b", "8")]


def test_a_batch_linked_both_ways_comes_once(tmp_path: Path):
    written(tmp_path, line("a", links=(("b", "7"),)), line("b", "7", links=(("a", "1"),), start=1))

    assert told(store.read_trace(tmp_path, "a".zfill(32))) == [("a", "1"), ("b", "7")]


def test_the_other_callers_of_a_batch_are_left_out(tmp_path: Path):
    written(tmp_path, line("a", links=(("b", "7"),)), line("b", "7", links=(("a", "1"), ("c", "1")), start=1), line("c"))

    assert told(store.read_trace(tmp_path, "a".zfill(32))) == [("a", "1"), ("b", "7")]


def test_a_line_cut_short_is_skipped(tmp_path: Path):
    written(tmp_path, line("a", order=ORDER)[:-30] + b"\n", line("a", "2", order=ORDER), line("a", "3", order=ORDER)[:-1])

    assert told(store.read_trace(tmp_path, "a".zfill(32))) == [("a", "2")]


def test_a_full_segment_is_followed_by_the_next(tmp_path: Path):
    writer = SegmentWriter(tmp_path, "worker-1", segment_bytes=100)
    for _ in range(3):
        writer.append([line("a")])

    assert sorted(path.name for path in tmp_path.iterdir()) == ["worker-1-0.jsonl", "worker-1-1.jsonl", "worker-1-2.jsonl"]


def test_a_restarted_process_leaves_its_old_segments_alone(tmp_path: Path):
    SegmentWriter(tmp_path, "worker-1").append([line("a")])
    SegmentWriter(tmp_path, "worker-1").append([line("b")])

    assert sorted(path.name for path in tmp_path.iterdir()) == ["worker-1-0.jsonl", "worker-1-1.jsonl"]


def test_processes_whose_names_begin_alike_keep_their_own_files(tmp_path: Path):
    SegmentWriter(tmp_path, "worker-1").append([line("a")])
    SegmentWriter(tmp_path, "edge-worker-1").append([line("a")])

    assert sorted(path.name for path in tmp_path.iterdir()) == ["edge-worker-1-0.jsonl", "worker-1-0.jsonl"]


def test_the_oldest_segments_go_when_the_store_is_too_large(tmp_path: Path):
    for age, name in enumerate(["new", "old", "older"]):
        (tmp_path / f"{name}-0.jsonl").write_bytes(b"x" * 100)
        os.utime(tmp_path / f"{name}-0.jsonl", (time.time() - age, time.time() - age))

    tidy(tmp_path, store_bytes=200)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["new-0.jsonl", "old-0.jsonl"]


def test_segments_past_their_age_go(tmp_path: Path):
    for name, age in (("new", 10), ("old", 100)):
        (tmp_path / f"{name}-0.jsonl").write_bytes(b"x")
        os.utime(tmp_path / f"{name}-0.jsonl", (time.time() - age, time.time() - age))

    tidy(tmp_path, store_seconds=50)

    assert [path.name for path in tmp_path.iterdir()] == ["new-0.jsonl"]


def test_a_segment_that_another_process_dropped_is_replaced(tmp_path: Path):
    writer = SegmentWriter(tmp_path, "worker-1")
    writer.append([line("a")])
    (tmp_path / "worker-1-0.jsonl").unlink()
    writer.append([line("b")])

    assert told(store.read_trace(tmp_path, "b".zfill(32))) == [("b", "1")]


def test_a_full_disk_drops_spans_with_one_warning(tmp_path: Path):
    writer = SegmentWriter(tmp_path, "worker-1")
    writer._opened_at = time.monotonic()
    writer._file = os.open("/dev/full", os.O_WRONLY)
    with structlog.testing.capture_logs() as logs:
        first = writer.append([line("a")])
        writer._file = os.open("/dev/full", os.O_WRONLY)
        second = writer.append([line("a"), line("b")])

    assert (first, second, writer.dropped, [entry["reason"] for entry in logs]) == (False, False, 3, ["No space left on device"])


def test_an_unwritable_directory_drops_spans(tmp_path: Path):
    (tmp_path / "file").touch()
    writer = SegmentWriter(tmp_path / "file" / "traces", "worker-1")

    assert (writer.append([line("a")]), writer.dropped) == (False, 1)


def test_writing_goes_on_once_it_is_possible_again(tmp_path: Path):
    (tmp_path / "traces").touch()
    writer = SegmentWriter(tmp_path / "traces", "worker-1")
    writer.append([line("a")])
    (tmp_path / "traces").unlink()
    writer.append([line("b")])

    assert told(store.read_trace(tmp_path / "traces", "b".zfill(32))) == [("b", "1")]
