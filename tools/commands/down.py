"""./bazaar down"""

from __future__ import annotations

import typer
from rich.console import Console

from tools.commands import HomeOption, home_of
from tools.home import State
from tools.processes import end

PATIENCE = 60.0
"""Seconds for an orderly end: the workers finish what they have, then the servers close their files."""


def down(context: typer.Context, home: HomeOption = None) -> None:
    """Stops everything that `up` started; the data stays."""
    state = home_of(context, home).read_state()
    if state is None or not _anything_left(state):
        print("Bazaar is not running")
        return
    with Console(stderr=True).status("Stopping"):
        end([state.supervisor], PATIENCE)
        # Only after a supervisor that had to be killed is there anything left here.
        end([process.identity for process in state.processes if process.identity], seconds=10)
    print("Bazaar is down")


def _anything_left(state: State) -> bool:
    return state.is_running() or any(process.identity and process.identity.is_alive() for process in state.processes)
