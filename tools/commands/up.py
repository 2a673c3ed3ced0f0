"""./bazaar up"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import IO, Annotated, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from tools import ROOT, ExpectedFailure
from tools.bus import Bus, choose
from tools.commands import HomeOption, home_of
from tools.home import Home
from tools.profiles import FULL, MESH
from tools.servers import Program, opensearch
from tools.servers.java import find_java

PATIENCE = 190.0
"""Seconds to wait for a start that another shell began; a little longer than a supervisor gives itself."""


def up(
    context: typer.Context,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Come back once everything is ready, and leave it running.")] = False,
    bus: Annotated[
        Bus | None,
        typer.Option("--bus", help="What the event bus of a new home runs on: postgres when left out. A home stays with its own."),
    ] = None,
    mesh: Annotated[
        bool, typer.Option("--mesh", help="A new home with a process a service, mTLS between them, and a credential for each. It stays so.")
    ] = False,
    full: Annotated[
        bool, typer.Option("--full", help="A new home with six Redis nodes, three MongoDB members, Pulsar and OpenSearch. It stays so.")
    ] = False,
    home: HomeOption = None,
) -> None:
    """Starts everything: PostgreSQL, Redis, MongoDB, a payment sandbox, two workers, the edge; Pulsar where it is the event bus."""
    place = home_of(context, home)
    place.prepare()
    is_mesh, is_full = MESH.choose(place, mesh), FULL.choose(place, full)
    engine = choose(place, bus_for(bus, is_full))
    state = place.read_state()
    if state and state.is_running() and state.phase == "ready":
        print(f"Bazaar is already up at {state.edge}")
        return
    if engine is Bus.PULSAR:
        fetch_pulsar()
    if is_full:
        fetch_opensearch()
    began = time.monotonic()
    profiles = [profile.name for profile, is_so in ((MESH, is_mesh), (FULL, is_full)) if is_so]
    supervisor = _start_supervisor(place, [engine, *profiles], detach)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        edge = _follow(supervisor, place)
        print(f"Bazaar is ready at {edge} ({time.monotonic() - began:.1f} s)", flush=True)
        if not detach and supervisor.poll() is None:
            print("Ctrl-C stops it.", flush=True)
            supervisor.wait()
    except KeyboardInterrupt:
        with Console(stderr=True).status("Stopping"):
            supervisor.terminate()
            supervisor.wait()
        raise
    if not detach and supervisor.returncode:
        raise ExpectedFailure(f"the supervisor ended; see {place.log('supervisor')}")


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def bus_for(wanted: Bus | None, is_full: bool) -> Bus | None:
    """The event bus to ask for: a full home has Pulsar.

    Raises:
        ExpectedFailure: another one is wanted.
    """
    if is_full and wanted is Bus.POSTGRES:
        raise ExpectedFailure("a full home has its events in Pulsar; leave --bus out, or --full")
    return Bus.PULSAR if is_full else wanted


def fetch_pulsar() -> None:
    """Fetches what Pulsar consists of, unless some home of this user has done so before.

    Raises:
        ExpectedFailure: there is no Java, or the jars can't be fetched.
    """
    # Loaded here: other homes needn't wait for what Pulsar's certificates take.
    from tools.servers.pulsar import JAVA, archive, fetch, rehearse

    java = find_java(os.environ, JAVA)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("Fetching Pulsar's jars (234 MB)", total=None, visible=False)
        fetch(java, os.environ, lambda done, total: progress.update(task, completed=done, total=total, visible=True))
    if not (kept := archive(java, os.environ)).exists():
        with Console(stderr=True).status("Preparing Pulsar (once; half a minute)"):
            rehearse(kept)


def fetch_opensearch() -> None:
    """Fetches OpenSearch, unless some home of this user has done so before.

    Raises:
        ExpectedFailure: there is no Java that is new enough, or it can't be fetched.
    """
    java = find_java(os.environ, opensearch.JAVA)
    with Console(stderr=True).status("Fetching OpenSearch (once; 160 MB)"):
        opensearch.fetch(java, os.environ)


def _start_supervisor(home: Home, wishes: Sequence[str], detach: bool) -> subprocess.Popen[bytes]:
    """In a session of its own, so that a terminal's Ctrl-C or end reaches it through this process alone, or not at all."""
    argv = [sys.executable, "-m", "tools.supervisor", str(home.path), *wishes]
    command = argv if detach else Program(argv).command()
    with home.log("supervisor").open("ab") as errors:
        return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, start_new_session=True)


def _follow(supervisor: subprocess.Popen[bytes], home: Home) -> str:
    """Shows the steps until everything is ready; returns the edge's URL.

    Raises:
        ExpectedFailure: the start failed.
    """
    assert supervisor.stdout is not None
    console = Console(stderr=True)
    with console.status("Starting") as spinner:
        for kind, text in _messages(supervisor.stdout):
            if kind == "ready":
                return text
            if kind == "failed":
                supervisor.wait()
                raise ExpectedFailure(text)
            if kind == "taken":
                return _await_other(home)
            spinner.update(text)
            if not console.is_terminal:
                console.print(text)
    raise ExpectedFailure(f"the supervisor ended before it was ready; see {home.log('supervisor')}")


def _messages(stream: IO[bytes]) -> Iterator[tuple[str, str]]:
    for line in stream:
        message = json.loads(line)
        kind = next(iter(message))
        yield kind, message[kind]


def _await_other(home: Home) -> str:
    """Waits for the start that another shell began."""
    give_up = time.monotonic() + PATIENCE
    while time.monotonic() < give_up:
        state = home.read_state()
        if state and state.is_running():
            if state.phase == "ready":
                return state.edge
            if state.phase in ("failed", "stopping"):
                break
        time.sleep(0.1)
    raise ExpectedFailure(f"another ./bazaar up works on {home.path} and did not get ready; see {home.log('supervisor')}")
