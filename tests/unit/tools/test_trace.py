import io
from pathlib import Path

import pytest
from rich.console import Console

from services.kit.telemetry.segments import encode, link_text
from tools import ExpectedFailure
from tools.trace import show

ORDER = "0190c0de-0000-7000-8000-000000000001"
MS = 1_000_000


def span(
    number: int, name: str, service: str, start: float, end: float, *, parent: int = 0, trace: int = 1, error: str = "", link: int = 0
):
    return encode(
        trace_id=f"{trace:032x}",
        span_id=f"{number:016x}",
        parent_id=f"{parent:016x}" if parent else "",
        name=name,
        kind="INTERNAL",
        service=service,
        process="worker-1",
        start=start * MS,
        end=end * MS,
        error=error,
        attributes={"bazaar.order_id": ORDER} if trace == 1 else {},
        links=[link_text(f"{1:032x}", f"{link:016x}")] if link else [],
    )


def shown(directory: Path, *spans: bytes, width: int = 80, terminal: bool = False) -> list[str]:
    (directory / "worker-1-0.jsonl").write_bytes(b"".join(spans))
    stream = io.StringIO()
    show(ORDER, directory, Console(file=stream, width=width, force_terminal=terminal, color_system="standard" if terminal else None))
    return stream.getvalue().splitlines()


CHECKOUT = (
    span(1, "PlaceOrder", "checkout", 0, 40),
    span(2, "Reserve", "inventory", 10, 20, parent=1),
    span(3, "UPDATE balances", "inventory", 12, 16, parent=2),
    span(4, "CreatePayment", "payments", 20, 40, parent=1),
)


def test_spans_stand_below_their_parents_with_bars_over_time(tmp_path: Path):
    assert shown(tmp_path, *reversed(CHECKOUT), width=100) == [
        f"order {ORDER}  1 trace, 4 spans, 3 services, 0 batches, 0 errors",
        "",
        f"trace {1:032x}  00:00:00.000 UTC  40.0 ms",
        "checkout PlaceOrder           ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━   +0.0 ms   40.0 ms",
        "  inventory Reserve                       ━━━━━━━━━━━━                            +10.0 ms   10.0 ms",
        "    inventory UPDATE balances                ━━━━━                                +12.0 ms    4.0 ms",
        "  payments CreatePayment                               ━━━━━━━━━━━━━━━━━━━━━━━━━  +20.0 ms   20.0 ms",
    ]


def test_a_batch_is_drawn_below_with_its_own_time(tmp_path: Path):
    lines = shown(tmp_path, *CHECKOUT, span(9, "process orders", "ranking", 500, 502, trace=2, link=1))

    assert (lines[-2].split("  ")[0], lines[-1].startswith("ranking process orders ━━")) == (f"batch {2:032x}", True)


def test_a_failed_span_says_why(tmp_path: Path):
    lines = shown(
        tmp_path, *CHECKOUT[:1], span(2, "Reserve", "inventory", 1, 2, parent=1, error="FAILED_PRECONDITION: OUT_OF_STOCK"), width=110
    )

    assert lines[-1].startswith("  inventory Reserve ✗ FAILED_PRECONDITION: OUT_OF_STOCK ")


def test_a_failed_span_is_red_on_a_terminal(tmp_path: Path):
    lines = shown(tmp_path, span(1, "Reserve", "inventory", 0, 1, error="INTERNAL"), terminal=True, width=110)

    assert lines[-1].startswith("\x1b[31minventory Reserve ✗ INTERNAL")


def test_a_span_whose_parent_is_not_kept_is_drawn_all_the_same(tmp_path: Path):
    lines = shown(tmp_path, span(2, "Reserve", "inventory", 0, 1, parent=77))

    assert lines[-1].startswith("inventory Reserve ")


@pytest.mark.parametrize("width", [40, 72, 200])
def test_no_line_is_wider_than_the_terminal(tmp_path: Path, width: int):
    lines = shown(tmp_path, *CHECKOUT, span(5, "A" * 90, "inventory", 0, 1, parent=3), width=width)

    assert max(len(line) for line in lines) <= width


def test_an_order_without_a_trace_says_so(tmp_path: Path):
    with pytest.raises(ExpectedFailure, match="no trace of order"):
        show(ORDER, tmp_path)
