"""One Bazaar whose event bus is Pulsar, from its first start to its end."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.shell import Shell
from tools.servers.pulsar import storage

pytestmark = [pytest.mark.edge, pytest.mark.pulsar]
NAMES = ["postgres", "redis-1", "mongo", "sandbox", "pulsar", "worker-1", "worker-2", "envoy"]
BAR = 30.0
"""Seconds until a killed broker serves again."""


@pytest.fixture(scope="module")
def shell(pulsar_jars: Path, short_directory: Path) -> Iterator[Shell]:
    shell = Shell(short_directory / "on-pulsar")
    shell.up("--bus", "pulsar")
    yield shell
    shell.end()


def order(shell: Shell, count: int) -> None:
    done = shell.run("demo", "--orders", str(count))
    assert done.returncode == 0, done.stderr


def ranked(shell: Shell) -> list[tuple[str, int]]:
    """Products and their orders, as the rankings count them from the events."""
    answer = shell.get("/v1/queryTopProducts?category=grocery&limit=10")
    return [(row["productId"], row["orders"]) for row in answer["products"]]


async def test_orders_are_counted_and_everything_agrees(shell):
    order(shell, 20)

    assert ranked(shell) != []
    assert await shell.violations() == []


def test_status_shows_the_broker(shell):
    shown = shell.processes()

    assert {name: process["state"] for name, process in shown.items()} == dict.fromkeys(NAMES, "ready")
    assert (shown["pulsar"]["role"], shown["pulsar"]["address"].partition(":")[0]) == ("broker", "127.0.0.1")


def test_doctor_finds_nothing(shell):
    assert shell.run("doctor").returncode == 0


def test_dead_letters_are_looked_for_in_pulsar(shell):
    done = shell.run("events", "dead")

    assert (done.returncode, done.stdout) == (0, "There are no dead letters.\n")


def test_logs_are_those_of_the_broker(shell):
    assert shell.run("logs", "pulsar").stdout.splitlines()[-1] == shell.home.log("pulsar").read_text().splitlines()[-1]


async def test_a_killed_broker_serves_again(shell):
    before, killed_at = shell.process("pulsar").identity, time.monotonic()
    os.kill(before.pid, signal.SIGKILL)
    while shell.process("pulsar").identity in (before, None) or shell.process("pulsar").state != "ready":
        assert time.monotonic() - killed_at < BAR
        await asyncio.sleep(0.05)

    order(shell, 10)
    assert await shell.violations() == []


async def test_a_stop_is_clean_and_a_start_finds_what_was_there(shell):
    shown = ranked(shell)
    done = shell.run("down")

    assert (done.returncode, done.stdout) == (0, "Bazaar is down\n")
    assert not storage.was_cut_off(shell.home.folder("pulsar") / "metadata")
    shell.up()
    assert shell.process("pulsar").state == "ready"
    assert ranked(shell) == shown
    # Among them: each change of each order is on the bus, in order.
    assert await shell.violations() == []


def test_the_other_bus_is_refused(shell):
    done = shell.run("up", "--detach", "--bus", "postgres")

    sentence = f"the events of {shell.home.path} are in Pulsar, and nothing moves them back; --home names another home"
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, f"bazaar: {sentence}")
