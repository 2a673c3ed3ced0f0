"""./bazaar migrate-events"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.status import Status

from services.kit.errors import Unavailable
from services.kit.events.port import TopicChanged
from tools import ExpectedFailure
from tools.bus import Bus, bus_of, events_in_postgres, plan, planned, pulsar_of, remember
from tools.changeover import MOVING
from tools.commands import HomeOption, home_of
from tools.commands.up import fetch_pulsar
from tools.credentials import postgres_of
from tools.home import Home, State
from tools.shop import edge_of

if TYPE_CHECKING:
    from services.kit.events.moving import Move

PATIENCE = 200.0
"""Seconds for the supervisor to start a broker, or to replace the workers."""
REOPENING = 30.0
"""Seconds after which a PostgreSQL that is away stays closed until the next start, or until this is run again."""
LOOK_EVERY = 0.2


def migrate_events(
    context: typer.Context,
    wait: Annotated[
        float, typer.Option("--wait", metavar="SECONDS", min=0, help="How long consumers may take to work off what is in PostgreSQL.")
    ] = 30,
    home: HomeOption = None,
) -> None:
    """Moves the events of a running Bazaar from PostgreSQL to Pulsar, while orders go on.

    Pulsar is started beside the rest and history is copied. Then PostgreSQL takes no more events (new ones wait beside the orders that they
    tell of), what consumers have left there is copied, and the workers are replaced one after the other. It may be run again at any time.
    """
    place = home_of(context, home)
    edge_of(place)
    if place.lock(MOVING) is None:
        raise ExpectedFailure(f"another ./bazaar migrate-events is at work on {place.path}")
    if not (buses := _supervisor(place).buses):
        raise ExpectedFailure("what runs here is of an older version; ./bazaar down and ./bazaar up first")
    if buses == [Bus.PULSAR]:
        print("The events are in Pulsar")
        return
    is_new = bus_of(place) is not Bus.PULSAR
    if is_new:
        fetch_pulsar()
    began = time.monotonic()
    with Console(stderr=True).status("") as spinner:
        steps = Steps(spinner)
        if is_new:
            steps.say("Starting Pulsar")
            plan(place, Bus.PULSAR)
            _have_done(place, lambda state: Bus.PULSAR in state.buses)
            _move(place, wait, steps)
        steps.say("Replacing the workers, one after the other")
        _have_done(place, lambda state: state.buses == [Bus.PULSAR])
    print(f"The events are in Pulsar ({time.monotonic() - began:.1f} s)")


class Steps:
    """Says what is under way: in place on a terminal, in lines elsewhere."""

    def __init__(self, spinner: Status) -> None:
        self._spinner = spinner
        self._copied = 0

    def say(self, step: str) -> None:
        self._spinner.update(step)
        if not self._spinner.console.is_terminal:
            self._spinner.console.print(step)

    def copied(self, count: int) -> None:
        """So many more events are in Pulsar."""
        self._copied += count
        self._spinner.update(f"Copying events: {self._copied}")


def _move(home: Home, wait: float, steps: Steps) -> None:
    """Has the events in Pulsar, and the home know it; or the home as it was.

    Raises:
        ExpectedFailure: one of the buses is away.
    """
    try:
        asyncio.run(_moved(home, wait, steps))
    except (Unavailable, TopicChanged) as error:
        raise ExpectedFailure(f"{error}; run it again") from None
    finally:
        if planned(home) is None and bus_of(home) is Bus.POSTGRES:
            _supervisor(home).supervisor.send(signal.SIGUSR1)


async def _moved(home: Home, wait: float, steps: Steps) -> None:
    # A library of 20 MB, which other commands have no use for.
    from services.kit.events.moving import moving

    source = events_in_postgres(postgres_of(home))
    target = pulsar_of(home, json.loads(home.ports.read_text())).admin_url()
    async with moving(source, target, steps.copied) as move:
        try:
            steps.say("Copying what has been worked")
            await move.copy_worked()
            await move.close()
            await _work_off(move, wait, steps)
            steps.say("Copying what is left")
            await move.copy_rest()
        except BaseException:
            await _reopen(move)
            plan(home, None)
            raise
        remember(home, Bus.PULSAR)
        # PostgreSQL must not be done with before that is on the disk.
        os.sync()
        await move.leave()


async def _reopen(move: Move) -> None:
    """Has PostgreSQL take events again, even if it is just being restarted."""
    give_up = time.monotonic() + REOPENING
    while True:
        try:
            return await move.reopen()
        except Unavailable:
            if time.monotonic() > give_up:
                raise
        await asyncio.sleep(LOOK_EVERY)


async def _work_off(move: Move, seconds: float, steps: Steps) -> None:
    """Waits for consumers to be done, but not for ever."""
    give_up = time.monotonic() + seconds
    while (waiting := await move.waiting()) and time.monotonic() < give_up:
        steps.say(f"Waiting for consumers, which have {waiting} events to work off")
        await asyncio.sleep(1)


def _have_done(home: Home, is_done: Callable[[State], bool]) -> None:
    """Has the supervisor look again at the home's event bus.

    Raises:
        ExpectedFailure: it could not do what that takes.
    """
    before, give_up = _supervisor(home), time.monotonic() + PATIENCE
    before.supervisor.send(signal.SIGUSR1)
    while not is_done(state := _supervisor(home)):
        if state.looks > before.looks and state.trouble:
            raise ExpectedFailure(f"{state.trouble}; run it again")
        if time.monotonic() > give_up:
            raise ExpectedFailure(f"not done after {PATIENCE:.0f} s; see {home.log('supervisor')}, and run it again")
        time.sleep(LOOK_EVERY)


def _supervisor(home: Home) -> State:
    """What the home's supervisor says.

    Raises:
        ExpectedFailure: it has ended.
    """
    state = home.read_state()
    if state is None or not state.is_running() or state.phase != "ready":
        raise ExpectedFailure("Bazaar went down meanwhile; ./bazaar up starts it, and then run it again")
    return state
