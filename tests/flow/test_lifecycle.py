"""One Bazaar from its first start to its end, as a person at a shell sees it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.shell import Shell

pytestmark = pytest.mark.edge
NAMES = ["postgres", "redis-1", "mongo", "sandbox", "worker-1", "worker-2", "envoy"]


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
    """The home for all tests that want one, after its first start."""
    shell = Shell(short_directory / "lifecycle")
    yield shell
    shell.end()


@pytest.fixture(scope="module")
def first_start(shell: Shell) -> float:
    """How many seconds it took."""
    began = time.monotonic()
    shell.up()
    return time.monotonic() - began


@pytest.fixture
def running(shell: Shell, first_start: float) -> Shell:
    """The home, running; whatever the last test did to it, `up` puts it right."""
    return up(shell)


@pytest.fixture(scope="module")
def other(short_directory: Path) -> Iterator[Shell]:
    """A second home."""
    shell = Shell(short_directory / "beside")
    yield shell
    shell.end()


@pytest.fixture(scope="module")
def exit_codes(other: Shell) -> list[int]:
    """Of two shells that both make the first start of the second home."""
    quietly = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    both = [subprocess.Popen(**other.command("up", "--detach"), **quietly) for _ in range(2)]
    return [process.wait(100) for process in both]


@pytest.fixture
def beside(other: Shell, exit_codes: list[int]) -> Shell:
    """The second home, running."""
    return up(other)


def up(shell: Shell) -> Shell:
    if not shell.is_serving():
        shell.up()
    return shell


def test_a_first_start_is_ready_within_twenty_seconds(shell, first_start):
    assert first_start < 20
    assert shell.is_serving()
    assert {name: process["state"] for name, process in shell.processes().items()} == dict.fromkeys(NAMES, "ready")


def test_up_while_up_says_so(running):
    done = running.run("up", "--detach")

    assert (done.returncode, done.stdout) == (0, f"Bazaar is already up at http://127.0.0.1:{running.port}\n")


def test_two_shells_that_start_one_home_share_it(exit_codes, other):
    assert exit_codes == [0, 0]
    assert other.is_serving()


def test_two_homes_run_side_by_side(running, beside):
    assert (running.is_serving(), beside.is_serving()) == (True, True)


def test_down_leaves_no_process_and_no_socket_of_its_home_and_the_other_home_running(running, beside):
    identities = beside.identities()
    done = beside.run("down")

    assert (done.returncode, done.stdout) == (0, "Bazaar is down\n")
    assert [identity for identity in identities if identity.is_alive()] == []
    assert not beside.home.sockets.exists()
    assert running.is_serving()


def test_ctrl_c_ends_a_start_in_the_foreground(other):
    other.run("down")
    process = subprocess.Popen(
        **other.command("up"),
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        # A shell's background jobs ignore Ctrl-C, and so would their children: this one is to be as a person starts it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    wait_until(other.is_serving, seconds=60)
    identities = other.identities()
    process.send_signal(signal.SIGINT)

    assert process.wait(30) == 130
    assert [identity for identity in identities if identity.is_alive()] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_killed_process_comes_back(running, name):
    before = running.process(name).identity
    os.kill(before.pid, signal.SIGKILL)

    wait_until(lambda: running.process(name).identity not in (before, None), seconds=4)
    wait_until(lambda: running.process(name).state == "ready" and running.is_serving(), seconds=10)
    after = running.processes()[name]
    assert (after["pid"], after["state"]) == (running.process(name).identity.pid, "ready")
    assert after["pid"] != before.pid


def test_a_start_after_everything_was_killed_recovers_by_itself(running):
    for identity in running.identities():
        identity.send(signal.SIGKILL)
    running.up()

    assert running.is_serving()


def test_everything_dies_with_the_supervisor(running):
    identities = running.identities()
    os.kill(identities[0].pid, signal.SIGKILL)

    wait_until(lambda: not any(identity.is_alive() for identity in identities))


def test_a_taken_port_is_one_plain_sentence_and_leaves_nothing_running(fresh):
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(("127.0.0.1", fresh.port))
        holder.listen()
        done = fresh.run("up", "--detach")

    sentence = f"bazaar: port {fresh.port} of 127.0.0.1 is in use; free it, or choose another one with BAZAAR_EDGE_PORT"
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, sentence)
    assert not any(identity.is_alive() for identity in fresh.identities())
