"""What a home is from its first start on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import ExpectedFailure
from tools.home import Home
from tools.profiles import FULL, MESH, Profile

EVERY = pytest.mark.parametrize("profile", [MESH, FULL], ids=["mesh", "full"])


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.prepare()
    return home


@EVERY
@pytest.mark.parametrize("is_wanted", [True, False])
def test_a_new_home_becomes_what_is_wanted(home: Home, profile: Profile, is_wanted: bool):
    assert profile.choose(home, is_wanted) is is_wanted


@EVERY
def test_a_home_stays_what_it_is(home: Home, profile: Profile):
    profile.remember(home, True)

    assert profile.choose(home, False)


@pytest.mark.parametrize(("profile", "what"), [(MESH, "is no mesh"), (FULL, "has one server of each kind")], ids=["mesh", "full"])
def test_another_home_does_not_become_so(home: Home, profile: Profile, what: str):
    profile.remember(home, False)
    with pytest.raises(ExpectedFailure) as refused:
        profile.choose(home, True)

    assert str(refused.value) == f"{home.path} {what}, and stays as it was first started; --home names another home"


def test_a_home_can_be_both(home: Home):
    MESH.remember(home, True)
    FULL.remember(home, True)

    assert (MESH.choose(home, False), FULL.choose(home, False)) == (True, True)


@EVERY
def test_a_home_older_than_the_choice_is_not_so(home: Home, profile: Profile):
    (home.folder("postgres") / "data").mkdir()

    assert not profile.choose(home, False)
