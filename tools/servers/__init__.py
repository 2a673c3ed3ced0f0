"""Real servers from wheels, for one machine: how each is started, asked whether it is ready, and stopped."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

from tools import ROOT, ExpectedFailure

LAUNCH = Path(__file__).parent.parent / "launch.py"
PORTS = range(12_000, 22_000)
"""Below the kernel's ephemeral range, and with 10,000 above each (Redis Cluster's bus) below it too."""


@dataclass(frozen=True)
class Program:
    """What to run and how to end it."""

    argv: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    """Added to the starting process's own."""
    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals | None = None
    """What it gets when the starting process dies; the stop signal when None."""
    unprivileged: bool = False
    """Root starts it as `nobody`."""

    def command(self) -> list[str]:
        """The command line that ties the program's life to the calling process.

        In fact to the calling thread, so call it from one that lasts.
        """
        user = "unprivileged" if self.unprivileged else "same"
        return [
            sys.executable,
            "-I",
            "-S",
            str(LAUNCH),
            str(int(self.death_signal or self.stop_signal)),
            str(os.getpid()),
            user,
            *self.argv,
        ]

    def options(self, output: IO[bytes] | int) -> dict[str, Any]:
        """What `subprocess.Popen` and its asyncio sibling want besides."""
        return {
            "env": {**os.environ, **self.environment},
            "cwd": ROOT,
            "stdin": subprocess.DEVNULL,
            "stdout": output,
            "stderr": subprocess.STDOUT,
            # A Ctrl-C in the terminal is for the supervisor, which stops its children in order.
            "start_new_session": True,
        }


class Server(Protocol):
    """One server process under a directory of its own."""

    name: str
    role: str

    @property
    def address(self) -> str:
        """Where it listens, without credentials."""
        ...

    def prepare(self) -> None:
        """Makes what must be there before the process starts, and clears what a crash left. Idempotent."""
        ...

    def program(self) -> Program:
        """What to run."""
        ...

    def ready(self) -> bool:
        """Whether it answers as it should; finishes its set-up on the first start. Never raises for a server that is not up yet."""
        ...

    def answers(self) -> bool:
        """Whether it says anything at all, be it a refusal, within two seconds: one that was ready and doesn't is frozen."""
        ...


class StartFailed(ExpectedFailure):
    """A server ended or kept silent; the message says where to read on."""


def free_port(also: int | None = None) -> int:
    """Finds a TCP port of 127.0.0.1 that nobody listens on, with `port + also` as free as itself."""
    for port in random.sample(PORTS, 200):
        if is_free(port) and (also is None or is_free(port + also)):
            return port
    raise StartFailed("no free TCP port between 12000 and 22000")


def is_free(port: int) -> bool:
    """Whether nobody listens on the port of 127.0.0.1. Says no to ports shared by SO_REUSEPORT too."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def is_listening(port: int, host: str = "127.0.0.1") -> bool:
    """Whether somebody accepts connections on the port of an address of this machine: cheap, and so asked before a client is made."""
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0


class Running:
    """A server started for the length of a `with` block; the supervisor has its own loop.

    Args:
        timeout: seconds until it must be ready.
        patience: seconds that it has to end by itself.
    """

    def __init__(self, server: Server, log: Path, *, timeout: float = 30, patience: float = 10) -> None:
        self._server = server
        self._log = log
        self._timeout = timeout
        self._patience = patience
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Running:
        self.start()
        try:
            self.wait()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Starts the process."""
        self._server.prepare()
        self._log.parent.mkdir(parents=True, exist_ok=True)
        program = self._server.program()
        with self._log.open("ab") as output:
            self._process = subprocess.Popen[bytes](program.command(), **program.options(output))

    def wait(self) -> None:
        """Waits until it is ready.

        Raises:
            StartFailed: it ended, or took too long.
        """
        assert self._process is not None
        give_up = time.monotonic() + self._timeout
        while not self._server.ready():
            if self._process.poll() is not None:
                raise StartFailed(f"{self._server.name} ended with {self._process.returncode}; see {self._log}")
            if time.monotonic() > give_up:
                raise StartFailed(f"{self._server.name} was not ready within {self._timeout:.0f} s; see {self._log}")
            time.sleep(0.02)

    @property
    def pid(self) -> int:
        """Of the process, once started."""
        assert self._process is not None
        return self._process.pid

    def send(self, number: signal.Signals) -> None:
        """Signals the process, unless it has ended."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """Ends it between two instructions."""
        self.send(signal.SIGKILL)
        self.stop()

    def stop(self) -> int:
        """Ends it: its own signal first, SIGKILL once our patience has run out. Returns the exit code."""
        assert self._process is not None
        self.send(self._server.program().stop_signal)
        try:
            return self._process.wait(self._patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()
