"""./bazaar doctor on a shop that runs."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.flow.edge.client import Edge
from tests.flow.edge.conftest import SHIRT
from tests.invariants import CHECKS
from tests.running import RunningBazaar


@pytest.fixture
def lost_unit(running: RunningBazaar, edge: Edge) -> Iterator[None]:
    """One unit of a shirt is gone from its shelf, and no book says where."""
    take = "UPDATE balances SET on_hand = on_hand + %s WHERE sku = %s"
    with psycopg.connect(running.servers.database("inventory"), autocommit=True) as inventory:
        inventory.execute(take, [-1, f"{SHIRT}-s"])
        yield
        inventory.execute(take, [1, f"{SHIRT}-s"])


def test_of_a_sound_shop_nothing_differs(running: RunningBazaar, edge: Edge):
    done = running.run("doctor")

    assert (done.returncode, done.stderr) == (0, "")
    rows = [line for line in done.stdout.splitlines()[1:] if not line.startswith("  ")]
    assert [row.split("  nothing  ")[0].strip() for row in rows] == ["events worked off", *CHECKS]


def test_what_differs_is_said_in_words(running: RunningBazaar, lost_unit: None):
    done = running.run("doctor")

    assert done.returncode == 1
    assert f"stock: stock of {SHIRT}-s in main: on hand is -1 off its ledger, reserved 0 off what is held" in done.stdout
    assert done.stderr.splitlines()[-1] == "bazaar: one thing differs"


def test_it_changes_nothing(running: RunningBazaar, lost_unit: None):
    running.run("doctor")

    with psycopg.connect(running.servers.database("inventory")) as inventory:
        [(on_hand, ledger)] = inventory.execute(
            "SELECT on_hand, (SELECT sum(units) FROM ledger l WHERE l.sku = b.sku) FROM balances b WHERE sku = %s", [f"{SHIRT}-s"]
        ).fetchall()
    assert on_hand == ledger - 1
