"""What a run says at its end: why some tests were skipped, and how much of what could be tried has been."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.chaos.failpoints import cases


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Before the list of what failed: a reason has one line, however many it kept, so that failures are not lost among them."""
    _skipped(terminalreporter)
    _failpoints(terminalreporter)


def _skipped(terminalreporter: pytest.TerminalReporter) -> None:
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in terminalreporter.getreports("skipped"))
    for reason, count in reasons.most_common():
        terminalreporter.write_line(f"skipped {count}: {reason}")


def _failpoints(terminalreporter: pytest.TerminalReporter) -> None:
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
