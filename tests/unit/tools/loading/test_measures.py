import os
import subprocess
import sys
import threading
import time
from subprocess import PIPE

from tools.loading.measures import CpuMeter, Measures, ThreadMeter, percentiles

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
