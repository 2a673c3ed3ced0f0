"""./bazaar test"""

from __future__ import annotations

import subprocess
import sys

import typer

from tools import ROOT


def test(context: typer.Context) -> None:
    """Runs the tests; arguments go to pytest."""
    done = subprocess.run([sys.executable, "-m", "pytest", *context.args], cwd=ROOT, check=False)
    raise typer.Exit(done.returncode)
