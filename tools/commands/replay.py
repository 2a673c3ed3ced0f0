"""./bazaar replay"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from tools import ExpectedFailure
from tools.commands import HomeOption, home_of
from tools.home import Home
from tools.replaying import replay_directory
from tools.shop import Shop, edge_of
from tools.shop.report import Report
from tools.shop.screen import results


def replay(
    context: typer.Context,
    directory: Annotated[Path, typer.Argument(help="Holds products.csv.gz and transactions.csv.gz of the Complete Journey.")],
    orders: Annotated[int | None, typer.Option("--orders", min=1, metavar="N", help="Only the first N baskets; all when left out.")] = None,
    rate: Annotated[float | None, typer.Option("--rate", min=0.01, metavar="R", help="At most R orders a second.")] = None,
    home: HomeOption = None,
) -> None:
    """Orders what real households bought: each basket as an order of its household, through the edge.

    May be cut off and run again: within 24 hours a basket is ordered once.
    """
    place = home_of(context, home)
    shop = Shop(edge_of(place))
    if not directory.is_dir():
        raise ExpectedFailure(f"there is no directory {directory}")
    report = Report("replay")
    try:
        asyncio.run(_replay(shop, place, directory, orders, rate, report))
    finally:
        print()
        for line in report.lines():
            print(line)
        print(f"Report: {report.write(place)}")


async def _replay(shop: Shop, home: Home, directory: Path, orders: int | None, rate: float | None, report: Report) -> None:
    done = await replay_directory(shop, home, directory, orders, rate, report)
    await done.show_rankings(results())
    shop.close()
