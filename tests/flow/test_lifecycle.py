"""One Bazaar from its first start to its end, as a person at a shell sees it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.shell import Shell
from tools import ROOT

pytestmark = pytest.mark.edge
NAMES = ["postgres", "redis-1", "mongo", "worker-1", "worker-2", "envoy"]


def wait_until(condition, seconds: float = 10) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.05)


@pytest.fixture
def fresh(short_directory: Path) -> Iterator[Shell]:
    """A home that never ran."""
    shell = Shell(short_directory / "fresh")
    yield shell
    shell.end()


@pytest.fixture(scope="module")
def shell(short_directory: Path) -> Iterator[Shell]:
    shell = Shell(short_directory / "lifecycle")
    yield shell
    shell.run("down")


@pytest.fixture
def running(shell: Shell) -> Shell:
    """One home for all tests that want it running; whatever the last one did to it, `up` puts it right."""
    shell.up()
    return shell


def test_after_a_first_start_everything_is_ready(fresh):
    fresh.up()

    assert fresh.is_serving()
    assert {name: process["state"] for name, process in fresh.processes().items()} == dict.fromkeys(NAMES, "ready")


def test_up_while_up_says_so(running):
    done = running.run("up", "--detach")

    assert (done.returncode, done.stdout) == (0, f"Bazaar is already up at http://127.0.0.1:{running.port}\n")


def test_down_leaves_no_process_and_no_socket(running):
    identities = running.identities()
    done = running.run("down")

    assert (done.returncode, done.stdout) == (0, "Bazaar is down\n")
    assert [identity for identity in identities if identity.is_alive()] == []
    assert not running.home.sockets.exists()


@pytest.mark.parametrize("name", NAMES)
def test_a_killed_process_comes_back(running, name):
    pid = running.processes()[name]["pid"]
    os.kill(pid, signal.SIGKILL)

    wait_until(lambda: running.processes()[name]["pid"] not in (pid, None), seconds=4)
    wait_until(lambda: running.processes()[name]["state"] == "ready" and running.is_serving())


def test_everything_dies_with_the_supervisor(running):
    identities = running.identities()
    os.kill(identities[0].pid, signal.SIGKILL)

    wait_until(lambda: not any(identity.is_alive() for identity in identities))


def test_a_start_after_everything_was_killed_recovers_by_itself(running):
    for identity in running.identities():
        identity.send(signal.SIGKILL)
    running.up()

    assert running.is_serving()


def test_a_taken_port_is_one_plain_sentence_and_leaves_nothing_running(fresh):
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", fresh.port))
        other.listen()
        done = fresh.run("up", "--detach")

    sentence = f"bazaar: port {fresh.port} of 127.0.0.1 is in use; free it, or choose another one with BAZAAR_EDGE_PORT"
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, sentence)
    assert not any(identity.is_alive() for identity in fresh.identities())


def test_two_homes_run_side_by_side(running, short_directory):
    other = Shell(short_directory / "beside")
    other.up()
    both = (running.is_serving(), other.is_serving())
    other.run("down")

    assert both == (True, True)
    assert running.is_serving()


def test_two_shells_that_start_one_home_share_it(fresh):
    command = [sys.executable, "-m", "tools", "--home", str(fresh.home.path), "up", "--detach"]
    environment = {**os.environ, "BAZAAR_EDGE_PORT": str(fresh.port)}
    both = [subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) for _ in range(2)]

    assert [process.wait(100) for process in both] == [0, 0]
    assert fresh.is_serving()


def test_ctrl_c_ends_a_start_in_the_foreground(fresh):
    command = [sys.executable, "-m", "tools", "--home", str(fresh.home.path), "up"]
    environment = {**os.environ, "BAZAAR_EDGE_PORT": str(fresh.port)}
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        # A shell's background jobs ignore Ctrl-C, and so would their children: this one is to be as a person starts it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    wait_until(fresh.is_serving, seconds=60)
    identities = fresh.identities()
    process.send_signal(signal.SIGINT)

    assert process.wait(30) == 130
    assert [identity for identity in identities if identity.is_alive()] == []
