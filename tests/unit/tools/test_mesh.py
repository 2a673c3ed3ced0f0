"""Which home is a mesh, and who is in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.__main__ import NOUNS
from tools import ExpectedFailure
from tools.credentials import Credentials
from tools.home import Home
from tools.mesh import choose, remember, services


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.prepare()
    home.folder("mesh").mkdir()
    return home


def test_every_service_is_in_the_mesh():
    assert services() == sorted(NOUNS)


@pytest.mark.parametrize("wants_mesh", [True, False])
def test_a_new_home_becomes_what_is_wanted(home: Home, wants_mesh: bool):
    assert choose(home, wants_mesh) is wants_mesh


def test_a_mesh_stays_one(home: Home):
    remember(home, True)

    assert choose(home, False)


def test_another_home_does_not_become_one(home: Home):
    remember(home, False)

    with pytest.raises(ExpectedFailure, match="is no mesh"):
        choose(home, True)


def test_a_home_older_than_the_choice_is_no_mesh(home: Home):
    (home.folder("postgres") / "data").mkdir()

    assert not choose(home, False)


def test_passwords_stay_the_same_and_differ_from_each_other(home: Home):
    first, second = Credentials.made(home, ["orders", "users"]).passwords, Credentials.made(home, ["orders", "users"]).passwords

    assert (first, len(set(first.values()))) == (second, len(["postgres", "bazaar_events", "bazaar_orders", "bazaar_users"]))


def test_a_rotated_secret_is_what_its_reader_sees(home: Home):
    own = Credentials.made(home, ["pricing"])
    (home.folder("secrets") / "quote.json").write_text("new")

    assert (own.secrets("pricing") / "quote.json").read_text() == "new"
