import asyncio
import os
import signal
import sys
import time

import pytest
import pytest_asyncio

from tools import ExpectedFailure
from tools.child import Child
from tools.servers import Program


class Sleeper:
    """A server that is ready once its file is there."""

    name = "sleeper"
    role = "server"
    address = "nowhere"

    def __init__(self, file, code):
        self.file = file
        self.code = code

    def prepare(self):
        self.file.unlink(missing_ok=True)

    def program(self):
        return Program([sys.executable, "-c", f"import pathlib, time; {self.code}", str(self.file)])

    def ready(self):
        return self.file.exists()

    def answers(self):
        return self.file.exists()


@pytest_asyncio.fixture
async def child(tmp_path, request):
    states = []
    server = Sleeper(tmp_path / "ready", getattr(request, "param", f"pathlib.Path('{tmp_path}/ready').touch(); time.sleep(60)"))
    child = Child(server, tmp_path / "log", lambda: states.append(child.snapshot().state))
    child.start()
    yield child
    await child.stop()


async def test_a_child_is_ready_when_its_server_says_so(child):
    await child.started()

    assert child.snapshot().state == "ready"


async def test_another_server_takes_the_place(child, tmp_path):
    await child.started()
    before = child.snapshot().identity
    other = Sleeper(tmp_path / "other", f"pathlib.Path('{tmp_path}/other').touch(); time.sleep(60)")
    await child.replace(other)

    assert (child.server, child.snapshot().state, before.is_alive()) == (other, "ready", False)


async def test_a_killed_child_is_replaced_within_two_seconds(child):
    await child.started()
    before, killed_at = child.snapshot().identity.pid, time.monotonic()
    os.kill(before, signal.SIGKILL)
    while child.snapshot().state == "ready" and child.snapshot().identity.pid == before:
        await asyncio.sleep(0.01)
    await asyncio.wait_for(child.ready.wait(), 5)

    assert time.monotonic() - killed_at < 2
    assert child.snapshot().identity.pid != before


async def test_a_child_that_falls_silent_is_replaced(child, monkeypatch):
    monkeypatch.setattr("tools.child.LOOK_EVERY", 0.01)
    await child.started()
    before = child.snapshot().identity
    child.server.file.unlink()

    # Dead comes before noticed.
    while child.snapshot().identity == before:
        await asyncio.sleep(0.01)
    await asyncio.wait_for(child.ready.wait(), 5)

    assert (child.snapshot().identity != before, before.is_alive()) == (True, False)


@pytest.mark.parametrize("child", ["pathlib.Path(__import__('sys').argv[1]).touch()\nwhile True: pass"], indirect=True)
async def test_a_child_that_is_silent_for_all_its_work_is_left_alone(child, monkeypatch):
    looks = []
    monkeypatch.setattr("tools.child.LOOK_EVERY", 0.05)
    await child.started()
    before = child.snapshot().identity
    monkeypatch.setattr(child.server, "answers", lambda: looks.append(time.sleep(0.1)))

    while len(looks) < 10:
        await asyncio.sleep(0.01)

    assert child.snapshot().identity == before


async def test_a_stopped_child_has_no_process(child):
    await child.started()
    identity = child.snapshot().identity
    await child.stop()

    assert (child.snapshot().state, child.snapshot().identity, identity.is_alive()) == ("stopped", None, False)


@pytest.mark.parametrize("child", ["print('no such table'); raise SystemExit(3)"], indirect=True)
async def test_a_child_that_never_gets_ready_fails_with_its_last_line(child):
    with pytest.raises(ExpectedFailure, match="sleeper does not start: no such table"):
        await child.started(tries=1)
