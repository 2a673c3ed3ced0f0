import os
import subprocess
import sys
import threading
import time
import tracemalloc
from subprocess import PIPE

import pytest

from tools.loading.measures import CpuMeter, Measures, ThreadMeter, per_operation, percentiles
from tools.shop import Refused

BURN = "import time; end = time.process_time() + 0.3\nwhile time.process_time() < end: pass"


def measured(*seconds, kind=""):
    measures = Measures()
    for each in seconds:
        measures.add(each, kind)
    return measures


def test_percentiles_are_latencies_that_occurred():
    assert percentiles([number / 1000 for number in range(1, 2001)]) == {
        "p50": 1000.0,
        "p90": 1800.0,
        "p95": 1900.0,
        "p99": 1980.0,
        "p99.9": 1998.0,
        "max": 2000.0,
    }


def test_one_latency_is_all_percentiles():
    assert set(percentiles([0.0125]).values()) == {12.5}


def test_a_rank_is_the_nearest_whatever_floats_make_of_it():
    # 41,000 * 99.9 / 100 is 40,959.00000000001 in floats.
    assert percentiles([number / 1000 for number in range(1, 41_001)])["p99.9"] == 40_959.0


def test_nothing_has_no_percentiles():
    assert percentiles([]) == {}


def test_only_successes_make_the_rate():
    measures = measured(*[0.1] * 30)
    measures.lasted = 10
    measures.failures["OUT_OF_STOCK"] = 5

    assert (measures.as_json()["rate_per_second"], measures.as_json()["failures"]) == (3.0, 5)


def test_kinds_have_latencies_of_their_own():
    measures = measured(0.1, 0.2, kind="look")
    measures.add(0.4, "add")

    figures = measures.as_json()
    assert list(figures["kinds_ms"]) == ["add", "look"]
    assert [(each["p50"], each["max"], each["samples"]) for each in figures["kinds_ms"].values()] == [(400, 400, 1), (100, 200, 2)]
    assert (figures["successes"], figures["latency_ms"]["p50"], figures["latency_ms"]["max"]) == (3, 200, 400)


def test_calls_of_one_kind_are_not_told_apart():
    assert measured(0.1).as_json().keys() & {"kinds_ms", "steps_ms"} == set()


def test_steps_come_in_their_order():
    measures = Measures()
    for name in ("order", "item", "item"):
        with measures.step(name):
            pass

    steps = measures.as_json()["steps_ms"]
    assert [(name, steps[name]["samples"]) for name in steps] == [("order", 1), ("item", 2)]


def test_a_step_that_fails_has_no_latency():
    measures = Measures()
    with pytest.raises(Refused), measures.step("order"):
        raise Refused(400, 9, "OUT_OF_STOCK", "")

    assert "steps_ms" not in measures.as_json()


def test_a_latency_takes_eight_bytes():
    tracemalloc.start()
    measures = measured(*[0.1] * 100_000)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert measures.successes == 100_000
    # The array grows by an eighth more than it needs.
    assert taken < 1_000_000


def test_an_operation_costs_its_share():
    assert per_operation({"postgres": 1.5, "generator": 0.25}, 400) == {"postgres": 3.75, "generator": 0.625}


def test_no_operation_costs_nothing():
    assert per_operation({"postgres": 1.5}, 0) == {}


def test_the_meter_counts_what_children_used_that_have_ended():
    meter = CpuMeter({"tests": os.getpid()})
    subprocess.run([sys.executable, "-c", BURN], check=True)

    assert 0.3 <= meter.used()["tests"] < 3


def test_a_child_with_a_name_of_its_own_does_not_count_with_its_parent():
    with subprocess.Popen([sys.executable, "-c", f"{BURN}\nprint(flush=True); input()"], stdin=PIPE, stdout=PIPE) as child:
        meters = CpuMeter({"tests": os.getpid(), "child": child.pid}), CpuMeter({"tests": os.getpid()})
        assert child.stdout
        child.stdout.readline()
        apart, together = (meter.used() for meter in meters)
        child.communicate(b"\n")

    assert apart["child"] >= 0.25
    assert together["tests"] - apart["tests"] >= 0.25


def test_threads_are_measured_one_by_one():
    ready, done = threading.Event(), threading.Event()
    ids: list[int] = []

    def work() -> None:
        ids.append(threading.get_native_id())
        ready.wait()
        end = time.thread_time() + 0.2
        while time.thread_time() < end:
            pass
        done.set()
        ready.clear()
        ready.wait()

    thread = threading.Thread(target=work)
    thread.start()
    meter = ThreadMeter(os.getpid())
    ready.set()
    done.wait()
    used = meter.used()
    ready.set()
    thread.join()

    assert 0.15 <= used[ids[0]] < 0.4
    assert used[threading.get_native_id()] < 0.15


def test_a_process_that_has_gone_is_left_out():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        meter = CpuMeter({"gone": process.pid})

    assert meter.used() == {}
