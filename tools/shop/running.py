"""Where the shop of a home is."""

from __future__ import annotations

from tools import ExpectedFailure
from tools.home import Home


def edge_of(home: Home) -> str:
    """The URL of the home's edge.

    Raises:
        ExpectedFailure: nothing runs there.
    """
    state = home.read_state()
    if state is None or not state.is_running() or state.phase != "ready":
        raise ExpectedFailure("Bazaar is not running here; ./bazaar up starts it")
    return state.edge
