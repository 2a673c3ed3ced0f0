"""./bazaar check"""

from __future__ import annotations

import subprocess
import sys

import typer

from tools import ROOT
from tools.commands import HomeOption


def check(context: typer.Context, home: HomeOption = None) -> None:
    """Checks style, types, imports, protos and that what is generated is fresh."""
    done = subprocess.run([sys.executable, "-m", "tools.check", *context.args], cwd=ROOT, check=False)
    raise typer.Exit(done.returncode)
