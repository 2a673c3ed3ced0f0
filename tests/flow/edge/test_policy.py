"""The policy and what happened in all tests at the edge, compared: no rule that nothing needs, and no call without a rule."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.granted import granted, seen
from tests.running import RunningBazaar

pytestmark = pytest.mark.edge

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def traces(request: pytest.FixtureRequest, running: RunningBazaar) -> Path:
    """Those of all tests in this folder, which have come before."""
    collected = {item.path for item in request.session.items}
    if missing := {file.name for file in HERE.glob("test_*.py")} - {path.name for path in collected if path.parent == HERE}:
        pytest.skip(f"tells something only after all tests at the edge, and {len(missing)} files of them don't run")
    return running.traces


def test_every_call_has_its_rule(traces: Path):
    assert seen(traces) - granted() == set()


def test_every_rule_is_needed(traces: Path):
    """One that is seldom needed is marked `rare` or `external` in the policy, and has a test of its own."""
    assert granted(often=True) - seen(traces) == set()
