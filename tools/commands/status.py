"""./bazaar status"""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from tools.commands import HomeOption, home_of
from tools.home import ProcessState, State

COLUMNS = ("name", "role", "pid", "address", "state")


def status(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print the list of processes as JSON, and nothing else.")] = False,
    home: HomeOption = None,
) -> None:
    """Lists Bazaar's processes."""
    place = home_of(context, home)
    state = place.read_state()
    rows = [_row(process) for process in state.processes] if state else []
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    print(_headline(state))
    if not rows:
        return
    print(f"with TLS: https://127.0.0.1:{json.loads(place.ports.read_text())['edge_tls']}")
    print()
    for line in _columns([[str(row[column] or "") for column in COLUMNS] for row in rows]):
        print(line)


def _columns(rows: list[list[str]]) -> list[str]:
    """Aligned, and never shortened to the terminal's width: an address is there to be copied."""
    table = [list(COLUMNS), *rows]
    widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]


def _row(process: ProcessState) -> dict[str, Any]:
    """A process as it is now: the file may be older than its end."""
    alive = process.identity is not None and process.identity.is_alive()
    state = process.state if alive or process.state in ("waiting", "restarting") else "stopped"
    pid = process.identity.pid if process.identity and alive else None
    return {"name": process.name, "role": process.role, "pid": pid, "address": process.address, "state": state}


def _headline(state: State | None) -> str:
    if state is None:
        return "Bazaar has never run here; ./bazaar up starts it"
    if not state.is_running():
        return "Bazaar is down"
    return f"Bazaar is {state.phase} at {state.edge}"
