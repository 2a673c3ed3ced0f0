import os
import subprocess
import sys

from tools.loading.measures import CpuMeter, Measures, percentiles

BURN = "import time; end = time.process_time() + 0.3\nwhile time.process_time() < end: pass"


def test_percentiles_are_latencies_that_occurred():
    assert percentiles([number / 1000 for number in range(1, 201)]) == {"p50": 100.0, "p95": 190.0, "p99": 198.0, "max": 200.0}


def test_one_latency_is_all_percentiles():
    assert percentiles([0.0125]) == {"p50": 12.5, "p95": 12.5, "p99": 12.5, "max": 12.5}


def test_nothing_has_no_percentiles():
    assert percentiles([]) == {}


def test_only_successes_make_the_rate():
    measures = Measures([0.1] * 30, lasted=10)
    measures.failures["OUT_OF_STOCK"] = 5

    assert (measures.as_json()["rate_per_second"], measures.as_json()["failures"]) == (3.0, 5)


def test_the_meter_counts_what_children_used_that_have_ended():
    meter = CpuMeter({"tests": os.getpid()})
    subprocess.run([sys.executable, "-c", BURN], check=True)

    assert 0.3 <= meter.used()["tests"] < 3


def test_a_process_that_has_gone_is_left_out():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        meter = CpuMeter({"gone": process.pid})

    assert meter.used() == {}
