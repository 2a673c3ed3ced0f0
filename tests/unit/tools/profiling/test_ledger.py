import io

from rich.console import Console
from rich.table import Table

from tools.profiling.ledger import layer_seconds, layer_table, microseconds, process_table
from tools.profiling.samples import Sample

STORE = ("MainThread", "due (services/orders/store.py)", "wait_async (psycopg/waiting.py)")
RULE = ("MainThread", "decide (services/orders/model.py)")
SPANS = ("spans", "line_of (services/kit/telemetry/segments.py)")


def lines_of(table: Table) -> list[list[str]]:
    console = Console(file=io.StringIO(), width=120)
    console.print(table)
    return [line.split() for line in console.file.getvalue().splitlines() if line.strip(" ─")]  # type: ignore[attr-defined]


def test_a_thread_is_divided_by_the_shares_of_its_samples():
    samples = [Sample(1, STORE, 30), Sample(1, RULE, 10)]

    assert layer_seconds(2.0, {1: 2.0}, samples) == {"domain": 0.5, "PostgreSQL client": 1.5}


def test_threads_weigh_what_they_used_and_not_how_often_they_were_seen():
    samples = [Sample(1, RULE, 10), Sample(2, SPANS, 90)]

    assert layer_seconds(4.0, {1: 3.0, 2: 1.0}, samples) == {"telemetry": 1.0, "domain": 3.0}


def test_a_thread_in_which_no_python_was_seen_is_native():
    assert layer_seconds(4.0, {1: 3.0, 9: 1.0}, [Sample(1, RULE, 5)]) == {"domain": 3.0, "native threads": 1.0}


def test_the_layers_are_the_workers_cpu_though_threads_ended_meanwhile():
    assert layer_seconds(5.0, {1: 3.0, 9: 1.0}, [Sample(1, RULE, 5)]) == {"domain": 3.75, "native threads": 1.25}


def test_a_thread_that_ended_before_it_was_measured_counts_for_nothing():
    assert layer_seconds(1.0, {1: 1.0}, [Sample(1, RULE, 5), Sample(2, SPANS, 5)]) == {"domain": 1.0}


def test_a_worker_that_did_nothing_has_no_layers():
    assert layer_seconds(0.0, {1: 0.0}, []) == {}


def test_an_operation_costs_microseconds():
    assert microseconds({"envoy": 1.23, "redis-1": 0.0}, 900) == {"envoy": 1367, "redis-1": 0}


def test_the_processes_are_added_up():
    assert lines_of(process_table({"worker-1": 5200, "envoy": 1367})) == [
        ["process", "µs"],
        ["worker-1", "5,200"],
        ["envoy", "1,367"],
        ["together", "6,567"],
    ]


def test_the_layers_are_added_up_over_the_workers_and_come_in_their_own_order():
    costs = {"worker-1": {"other": 100, "domain": 1500}, "worker-2": {"domain": 200, "validation": 200}}

    assert lines_of(layer_table(costs)) == [
        ["layer", "worker-1", "worker-2", "together", "share"],
        ["validation", "0", "200", "200", "10.0", "%"],
        ["domain", "1,500", "200", "1,700", "85.0", "%"],
        ["other", "100", "0", "100", "5.0", "%"],
        ["together", "1,600", "400", "2,000"],
    ]
