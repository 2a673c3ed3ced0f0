"""./bazaar test"""

from __future__ import annotations

import subprocess
import sys

import typer

from tools import ROOT
from tools.commands import HomeOption


def run_tests(context: typer.Context, home: HomeOption = None) -> None:
    """Runs the tests; arguments go to pytest."""
    done = subprocess.run([sys.executable, "-m", "pytest", *context.args], cwd=ROOT, check=False)
    raise typer.Exit(done.returncode)
