"""Says how much of what could be tried has been."""

from __future__ import annotations

import pytest

from tests.chaos.failpoints import cases


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    tried = [
        report.nodeid
        for outcome in ("passed", "failed")
        for report in terminalreporter.getreports(outcome)
        if report.when == "call" and "test_failpoints.py::" in report.nodeid and "[" in report.nodeid
    ]
    if tried:
        every = cases.every()
        failpoints = {nodeid.partition("[")[2].partition(" ")[0] for nodeid in tried}
        terminalreporter.write_line(
            f"{len(failpoints)} of {len({case.failpoint for case in every})} failpoints, {len(tried)} of {len(every)} of their failures"
            f"{'' if len(tried) == len(every) else ' (./bazaar test --all tries every one)'}"
        )
