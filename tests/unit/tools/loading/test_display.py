import io

from rich.console import Console

from tools.loading.display import show

POINTS = {"p50": 1.0, "p90": 2.0, "p95": 3.0, "p99": 4.0, "p99.9": 5.25, "max": 6.0}
FIGURES = {
    "scenario": "journey",
    "loop": {"rate": 5.0},
    "seconds": 20.03,
    "successes": 1200,
    "rate_per_second": 59.9,
    "latency_ms": POINTS,
    "failures": 2,
    "failures_by_reason": {"OUT_OF_STOCK": 2},
    "cpu_seconds": {"postgres": 1.2, "worker-1": 2.4, "generator": 0.6},
    "cpu_ms_per_operation": {"postgres": 1.0, "worker-1": 2.0, "generator": 0.5},
    "violations": [],
}


def shown(**more):
    """The words of each line."""
    text = io.StringIO()
    show(Console(file=text, width=110), FIGURES | more)
    return [line.split() for line in text.getvalue().splitlines() if line.split()]


def test_all_percentiles_are_shown():
    assert ["latency,", "ms", "p50", "p90", "p95", "p99", "p99.9", "max", "samples"] in shown()
    assert ["journey", "1.00", "2.00", "3.00", "4.00", "5.25", "6.00", "1,200"] in shown()


def test_each_step_has_a_row():
    assert ["quote", "1.00", "2.00", "3.00", "4.00", "5.25", "6.00", "9"] in shown(steps_ms={"quote": {**POINTS, "samples": 9}})


def test_each_kind_has_a_row():
    assert ["cart", "1.00", "2.00", "3.00", "4.00", "5.25", "6.00", "7"] in shown(kinds_ms={"cart": {**POINTS, "samples": 7}})


def test_what_never_happened_has_an_empty_row():
    assert ["order", "to", "visible", "rank", "0"] in shown(visible_ms={"samples": 0, "missed": 0})


def test_cpu_is_shown_by_process_and_of_the_shop_as_a_whole():
    lines = shown()
    rows = lines[lines.index(["CPU", "seconds", "ms", "an", "operation"]) + 2 :]

    assert rows[:4] == [
        ["postgres", "1.20", "1.000"],
        ["worker-1", "2.40", "2.000"],
        ["the", "shop", "3.60", "3.000"],
        ["generator", "0.60", "0.500"],
    ]


def test_sentences_say_the_rest():
    assert [" ".join(words) for words in shown(questions=160, cached=900, violations=["a", "b"])[-4:]] == [
        "journey, rate 5.0: 1,200 in 20.03 s, 59.9 a second",
        "different questions: 160; from the edge's cache: 75% of the answers",
        "failures: 2 (OUT_OF_STOCK 2)",
        "invariants: 2 violated",
    ]


def test_a_run_in_which_all_failed_is_shown_too():
    assert "different questions: 160; from the edge's cache: 0% of the answers" in [
        " ".join(words) for words in shown(questions=160, cached=0, successes=0)
    ]
