"""./bazaar test"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from tools import ROOT
from tools.cluster.rig import build
from tools.commands import HomeOption

EVERYTHING = ["-n", "2", "--no-loadscope-reorder"]
"""Two workers, since half the time the tests wait; each takes files in the order of pytest's `testpaths`."""

CLUSTER = "mesh-kubernetes"
"""Not among all tests: what it needs is built first, for twenty minutes of two cores and more."""

AllOption = Annotated[
    bool, typer.Option("--all", help="Every failure of every failpoint, where otherwise a sample is tried, and what needs Java.")
]


def run_tests(context: typer.Context, every: AllOption = False, home: HomeOption = None) -> None:
    """Runs the tests, all of them in two workers; arguments go to pytest. `mesh-kubernetes`: the manifests against Kubernetes and Istio."""
    os.chdir(ROOT)
    if every:
        os.environ["BAZAAR_TEST_ALL"] = "1"
    arguments = context.args or EVERYTHING
    if arguments[0] == CLUSTER:
        build.programs(print)
        arguments = ["tests/cluster", *arguments[1:]]
    # In place of this process: nobody in between is to end pytest before it has taken down what it started, as after a Ctrl-C.
    os.execv(sys.executable, [sys.executable, "-m", "pytest", *arguments])
