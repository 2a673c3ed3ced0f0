"""./bazaar import"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from tools import ExpectedFailure
from tools.commands import HomeOption, home_of
from tools.home import Home
from tools.importing import read_products
from tools.shop import Shop, administrator, edge_of
from tools.shop.report import Report
from tools.shop.screen import bar
from tools.shop.stocking import Stocking


def import_(
    context: typer.Context,
    path: Annotated[
        Path, typer.Argument(help="JSON lines, CSV, Flipkart's listings, each also as .gz, or a directory of the Complete Journey.")
    ],
    home: HomeOption = None,
) -> None:
    """Puts a file's products, prices and stock into the shop.

    The same file again changes nothing but what is new in it; its stock is a delivery, which is booked once within 24 hours.
    """
    place = home_of(context, home)
    shop = Shop(edge_of(place))
    if not path.exists():
        raise ExpectedFailure(f"there is no {path}")
    report = Report("import")
    try:
        asyncio.run(_import(shop, place, path, report))
    finally:
        for line in report.lines():
            print(line)
        print(f"Report: {report.write(place)}")


async def _import(shop: Shop, home: Home, path: Path, report: Report) -> None:
    with bar("Importing products") as told:
        await Stocking(shop, administrator(shop, home), report).take(read_products(path), told=told)
    shop.close()
