"""Who is in a mesh, and with which credentials."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.__main__ import NOUNS
from tools.credentials import Credentials
from tools.home import Home
from tools.mesh import services


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.prepare()
    home.folder("mesh").mkdir()
    return home


def test_every_service_is_in_the_mesh():
    assert services() == sorted(NOUNS)


def test_passwords_stay_the_same_and_differ_from_each_other(home: Home):
    first, second = Credentials.made(home, ["orders", "users"]).passwords, Credentials.made(home, ["orders", "users"]).passwords

    assert (first, len(set(first.values()))) == (second, len(["postgres", "bazaar_events", "bazaar_orders", "bazaar_users"]))


def test_a_rotated_secret_is_what_its_reader_sees(home: Home):
    own = Credentials.made(home, ["pricing"])
    (home.folder("secrets") / "quote.json").write_text("new")

    assert (own.secrets("pricing") / "quote.json").read_text() == "new"
