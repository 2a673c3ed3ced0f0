"""./bazaar trace"""

from __future__ import annotations

from typing import Annotated

import typer

from tools.commands import HomeOption, home_of
from tools.trace import show


def trace(
    context: typer.Context,
    order_id: Annotated[str, typer.Argument(help="As POST /v1/orders answered it.")],
    home: HomeOption = None,
) -> None:
    """Draws what an order did, in every service and database, as a waterfall."""
    show(order_id, home_of(context, home).folder("traces"))
