"""Runs the services' command, but loads them before they may start.

`python -m tools.early GATE [ARGUMENT...]` is `python -m services [ARGUMENT...]` once the file GATE exists. Loading takes seconds of a core,
and the cores are idle while PostgreSQL, Redis and MongoDB come up.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

POLL = 0.02


def command(gate: Path, *arguments: str) -> list[str]:
    """The command line that waits for the gate; arguments as those of `services`."""
    return [sys.executable, "-m", "tools.early", str(gate), *arguments]


def main(gate: str, arguments: Sequence[str]) -> int:
    """Loads the services that it is about, waits, and does what `services` would; returns its exit code."""
    from services import __main__ as services

    services.find_services([name for name in arguments if name != "migrate"])
    while not Path(gate).exists():
        time.sleep(POLL)
    return services.main(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
