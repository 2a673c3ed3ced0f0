import os

import pytest

from tools import ExpectedFailure, changeover
from tools.bus import Bus, plan, planned
from tools.home import Home


async def test_a_bus_is_not_opened_behind_a_mover_that_lives(tmp_path, monkeypatch):
    home = Home(tmp_path)
    plan(home, Bus.PULSAR)
    lock = home.lock(changeover.MOVING)
    monkeypatch.setattr(changeover, "_LAST_WORDS", 0.2)
    with pytest.raises(ExpectedFailure) as refused:
        await changeover.take_events_again(home, "postgres://nobody@/nothing")
    os.close(lock)

    assert str(refused.value) == f"a ./bazaar migrate-events is at work on {tmp_path}"
    assert planned(home) is Bus.PULSAR


def test_the_lock_of_who_moves_events_is_beside_that_of_who_runs_the_home(tmp_path):
    home = Home(tmp_path)
    locks = home.lock(), home.lock(changeover.MOVING)

    assert (None in locks, home.lock(changeover.MOVING)) == (False, None)
    for lock in locks:
        os.close(lock)
