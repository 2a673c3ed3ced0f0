"""A real Chromium without a window, told what to do over a pipe by its DevTools protocol: neither driver nor library is needed.

It finds nothing by name, so that a page has only what 127.0.0.1 gives it.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
ANSWER_SECONDS = 20.0
FLAGS = (
    "--headless",
    "--no-sandbox",  # it refuses to be root with one, and what it opens is ours
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--remote-debugging-pipe",
)


class Tab:
    """One page.

    Args:
        commands: where it is told what to do; each message ends with a NUL.
        answers: where it says what became of that, and what happens.
    """

    def __init__(self, commands: int, answers: int) -> None:
        self._commands = commands
        self._answers = answers
        self._received = b""
        self._sent = 0
        self._session: dict[str, str] = {}
        self.requested: list[str] = []
        """What it has asked for so far, by URL."""
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = {"sessionId": self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]}
        self._call("Network.enable")

    def open(self, url: str) -> None:
        """Goes there."""
        self._call("Page.navigate", url=url)

    def run(self, script: str) -> Any:
        """What an expression comes to, in the page.

        Raises:
            AssertionError: it throws.
        """
        done = self._call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def wait_for(self, script: str) -> Any:
        """What an expression comes to as soon as that is something.

        Raises:
            AssertionError: it doesn't.
        """
        until = time.monotonic() + ANSWER_SECONDS
        while not (found := self.run(script)):
            assert time.monotonic() < until, f"never came true: {script}"
            time.sleep(0.05)
        return found

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._sent += 1
        message = {"id": self._sent, "method": method, "params": parameters, **self._session}
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            told = self._next()
            if told.get("method") == "Network.requestWillBeSent":
                self.requested.append(told["params"]["request"]["url"])
            if told.get("id") == self._sent:
                assert "error" not in told, told
                return told["result"]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._received:
            ready, _, _ = select.select([self._answers], [], [], ANSWER_SECONDS)
            read = os.read(self._answers, 2**16) if ready else b""
            assert read, "the browser says nothing more"
            self._received += read
        message, _, self._received = self._received.partition(b"\0")
        return json.loads(message)


@contextmanager
def opened_tab(folder: Path) -> Iterator[Tab]:
    """A browser with one page; skips the test where none is installed."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if not found:
        pytest.skip("no browser is installed; apt-get install chromium")
    told, commands = os.pipe()
    answers, tells = os.pipe()
    # It reads from 3 and writes to 4, whatever numbers the pipes have here.
    start = ["bash", "-c", f'exec "$@" 3<&{told} 4>&{tells}', "browser", found, *FLAGS, f"--user-data-dir={folder}"]
    with (folder / "browser.log").open("wb") as log:
        browser = subprocess.Popen(start, pass_fds=(told, tells), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    os.close(told)
    os.close(tells)
    try:
        yield Tab(commands, answers)
    finally:
        browser.terminate()
        browser.wait()
        os.close(commands)
        os.close(answers)
