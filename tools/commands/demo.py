"""./bazaar demo"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from tools import ExpectedFailure
from tools.commands import HomeOption, down, home_of, up
from tools.demonstration import demonstrate
from tools.shop import edge_of
from tools.shop.screen import results

ORDERS = 200


def demo(
    context: typer.Context,
    orders: Annotated[int, typer.Option("--orders", min=1, metavar="N", help="How many orders to place.")] = ORDERS,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="Replay these baskets of the Complete Journey; made up when left out.")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Take everything down at the end.")] = False,
    home: HomeOption = None,
) -> None:
    """Starts Bazaar, fills it, places orders as several customers, and shows the Top 10 and what one checkout did."""
    if data is not None and not data.is_dir():
        raise ExpectedFailure(f"there is no directory {data}")
    up.up(context, detach=True, home=home)
    try:
        place = home_of(context, home)
        asyncio.run(demonstrate(edge_of(place), place, data, orders, results(), stays=not once))
    finally:
        if once:
            down.down(context, home=home)
