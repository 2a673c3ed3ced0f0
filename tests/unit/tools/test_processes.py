import dataclasses
import os
import signal
import subprocess
import sys
import time

import pytest

from tools.processes import Identity, end, start_time, started_as
from tools.servers import Program

FOREVER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
DEAF = [sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"]


def started(argv):
    """Starts a program and waits for its first word."""
    process = subprocess.Popen(argv, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def test_a_living_process_is_alive():
    assert Identity.of(os.getpid()).is_alive()


def test_a_number_with_another_start_time_is_somebody_else():
    mine = Identity.of(os.getpid())

    assert not dataclasses.replace(mine, started=mine.started - 1).is_alive()


def test_a_number_from_before_a_reboot_is_somebody_else():
    assert not dataclasses.replace(Identity.of(os.getpid()), boot="earlier").is_alive()


def test_a_zombie_is_dead():
    process = subprocess.Popen([sys.executable, "-c", ""])
    while start_time(process.pid) is not None:
        time.sleep(0.01)

    with pytest.raises(ProcessLookupError):
        Identity.of(process.pid)
    process.wait()


def test_a_process_that_hears_sigterm_ends_by_it():
    process = started(FOREVER)
    end([Identity.of(process.pid)], seconds=5)

    assert process.wait() == -signal.SIGTERM


def test_a_process_that_is_deaf_to_sigterm_is_killed():
    process = started(DEAF)
    end([Identity.of(process.pid)], seconds=0.1)

    assert process.wait() == -signal.SIGKILL


def test_a_program_dies_with_the_process_that_started_it():
    command = (
        "import subprocess, sys, time; from tools.servers import Program; program = Program(sys.argv[1:]);"
        "child = subprocess.Popen(program.command(), **program.options(subprocess.PIPE)); child.stdout.readline();"
        "print(child.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", command, *FOREVER], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = Identity.of(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()

    give_up = time.monotonic() + 5
    while child.is_alive() and time.monotonic() < give_up:
        time.sleep(0.01)
    assert not child.is_alive()


def test_processes_are_found_by_how_their_command_lines_begin():
    mark = f"found-by-{os.getpid()}"
    one, other = (started([*FOREVER[:1], "-c", f"'{name}'; {FOREVER[2]}"]) for name in (mark, "another"))
    try:
        assert started_as((f"{sys.executable}\0-c\0'{mark}'".encode(), b"nothing")) == [Identity.of(one.pid)]
    finally:
        for process in (one, other):
            process.kill()
            process.wait()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has a user to leave")
def test_an_unprivileged_program_is_nobody_and_reaches_roots_folders(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "file").write_text("inside")
    program = Program(["/bin/sh", "-c", f"id -u; cat {closed}/file; grep CapEff /proc/self/status"], unprivileged=True)
    done = subprocess.run(program.command(), stdout=subprocess.PIPE, text=True, check=True)

    assert done.stdout == "65534\ninsideCapEff:\t0000000000000006\n"
