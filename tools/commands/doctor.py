"""./bazaar doctor"""

from __future__ import annotations

import asyncio
from functools import partial
from inspect import getdoc

import typer
from rich.console import Console
from rich.table import Table

from tests.invariants import CHECKS, Servers, behind
from tools import ExpectedFailure
from tools.auditing import lasting, servers_of
from tools.commands import HomeOption, home_of
from tools.shop import edge_of

LOOKS, BETWEEN_LOOKS = 3, 1.0
"""How often something has to differ before it is told, and how many seconds apart."""

MOST_TOLD = 20


def doctor(context: typer.Context, home: HomeOption = None) -> None:
    """Checks that what the services keep agrees: stock, orders, payments, events, rankings. Changes nothing; orders may go on meanwhile.

    Waits first, 30 seconds at most, until events have been worked off that are under way now. Ends with 1 when something differs.
    """
    place = home_of(context, home)
    edge_of(place)
    console = Console(width=None if Console().is_terminal else 140)
    with console.status("Waiting until events have been worked off"):
        found = {"events worked off": asyncio.run(behind(servers_of(place)))}
    for name in CHECKS:
        with console.status(f"Checking {name}"):
            found[name] = asyncio.run(_differences(servers_of(place), name))
    _show(console, found)
    if differing := sum(map(len, found.values())):
        raise ExpectedFailure("one thing differs" if differing == 1 else f"{differing} things differ")


async def _differences(servers: Servers, name: str) -> list[str]:
    return await lasting(partial(CHECKS[name], servers), LOOKS, BETWEEN_LOOKS)


def _show(console: Console, found: dict[str, list[str]]) -> None:
    table = Table("checked", "differs", "what must hold", box=None)
    for name, sentences in found.items():
        table.add_row(name, str(len(sentences)) if sentences else "nothing", _rule(name))
    console.print(table)
    for name, sentences in found.items():
        for sentence in sentences[:MOST_TOLD]:
            console.print(f"{name}: {sentence}", markup=False, highlight=False)
        if len(sentences) > MOST_TOLD:
            console.print(f"{name}: and {len(sentences) - MOST_TOLD} more", markup=False, highlight=False)


def _rule(name: str) -> str:
    """What a check's docstring says, in one line."""
    return (getdoc(CHECKS[name]) or "").splitlines()[0] if name in CHECKS else "What was published before has been worked off."
