"""How the tests are spread over workers (pytest-xdist), each of which has servers of its own."""

from __future__ import annotations

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

TOGETHER = ("tests/flow/edge/", "tests/flow/test_readme.py")
"""What shares the running system: on two workers it would be started twice."""


class ByFile(LoadScopeScheduling):
    """Gives a worker one file after the other, so that what a module sets up is set up once."""

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)


def unit_of(nodeid: str) -> str:
    """The name of what goes to one worker as a whole, with this test in it."""
    return "running" if nodeid.startswith(TOGETHER) else nodeid.partition("::")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    return ByFile(config, log)
