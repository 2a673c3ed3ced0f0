"""One file a command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tools.home import Home

HomeOption = Annotated[
    Path | None,
    typer.Option("--home", metavar="DIR", readable=False, help="Where this Bazaar keeps everything; .bazaar/ by default."),
]


def home_of(context: typer.Context, after: Path | None) -> Home:
    """The home named after the command, or before it, or the default."""
    return Home(after or context.find_root().obj)
