"""./bazaar check"""

from __future__ import annotations

import subprocess
import sys

import typer

from tools import ROOT


def check(context: typer.Context) -> None:
    """Checks style, types, imports, protos and that what is generated is fresh."""
    done = subprocess.run([sys.executable, "-m", "tools.check", *context.args], cwd=ROOT, check=False)
    raise typer.Exit(done.returncode)
