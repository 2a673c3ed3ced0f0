from tools import ROOT
from tools.profiling.samples import Sample, read_samples


def test_a_line_is_a_thread_with_its_stack_and_how_often_it_was_seen():
    raw = f"thread (4711): MainThread;main ({ROOT}/services/__main__.py);<listcomp> (<string>) 12\n"

    assert read_samples(raw) == [Sample(4711, ("MainThread", "main (services/__main__.py)", "<listcomp> (<string>)"), 12)]


def test_paths_of_packages_and_of_the_standard_library_begin_in_their_folders():
    raw = (
        f"thread (1): spans;run (/usr/lib/python3.11/threading.py);wait ({ROOT}/.venv/lib/python3.11/site-packages/psycopg/waiting.py) 1\n"
        "thread (1): spans;run (/usr/lib/python3/dist-packages/thing.py) 2\n"
    )

    assert [sample.stack for sample in read_samples(raw)] == [
        ("spans", "run (threading.py)", "wait (psycopg/waiting.py)"),
        ("spans", "run (/usr/lib/python3/dist-packages/thing.py)"),
    ]


def test_a_thread_without_a_name_is_still_a_thread():
    assert read_samples("thread (7);run (threading.py) 3") == [Sample(7, ("", "run (threading.py)"), 3)]


def test_nothing_seen_is_no_sample():
    assert read_samples("") == []
