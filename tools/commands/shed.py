"""./bazaar shed"""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.__main__ import SHEDDING
from gateway.shedding import level_of, write_level
from tools import ExpectedFailure
from tools.commands import HomeOption, home_of


def shed(
    context: typer.Context,
    level: Annotated[str, typer.Argument(metavar="off|3|2", help="The priority from which on calls are refused.")],
    home: HomeOption = None,
) -> None:
    """Has the edge refuse what matters less, until it is switched off or started again: priority 3, or 2 and 3."""
    place = home_of(context, home)
    state = place.read_state()
    if state is None or not state.is_running():
        raise ExpectedFailure("Bazaar is not running; BAZAAR_SHED says what it starts with")
    try:
        write_level(place.folder("envoy") / SHEDDING, level_of(level))
    except ValueError as error:
        raise ExpectedFailure(str(error)) from None
    print({"off": "Nothing is shed", "3": "Calls of priority 3 are shed", "2": "Calls of priorities 2 and 3 are shed"}[level])
