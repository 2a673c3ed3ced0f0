import os
import stat

import pytest

from tools import ExpectedFailure
from tools.home import Home, ProcessState, State
from tools.processes import Identity


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path / "home")


def test_the_folders_are_the_owners_alone(home):
    home.prepare()

    assert {stat.S_IMODE(folder.stat().st_mode) for folder in (home.path, home.folder("secrets"), home.sockets)} == {0o700}


def test_the_socket_folder_is_short_and_the_homes_own(tmp_path):
    first, second = Home(tmp_path / ("long" * 40)).sockets, Home(tmp_path / "other").sockets

    assert len(str(first)) < 40
    assert first != second


def test_a_file_in_the_homes_place_is_a_plain_failure(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ExpectedFailure) as caught:
        Home(tmp_path / "file").prepare()

    assert str(caught.value) == f"cannot use {tmp_path}/file as home: File exists ({tmp_path}/file)"


def test_a_socket_folder_open_to_others_is_refused(home):
    home.sockets.mkdir(mode=0o700)
    home.sockets.chmod(0o755)
    with pytest.raises(ExpectedFailure, match="not a private directory of yours"):
        home.prepare()


def test_a_full_disk_is_a_plain_failure(home, monkeypatch):
    monkeypatch.setattr("tools.home.NEEDED_BYTES", 2**60)
    with pytest.raises(ExpectedFailure, match="of disk space left"):
        home.prepare()


def test_state_is_read_as_it_was_written(home):
    home.prepare()
    me = Identity.of(os.getpid())
    written = State("ready", me, "http://127.0.0.1:1", "/tmp/s", [ProcessState("redis-1", "primary", "127.0.0.1:2", "ready", me)])
    home.write_state(written)

    assert home.read_state() == written


def test_a_home_that_never_ran_has_no_state(home):
    assert home.read_state() is None


def test_a_home_is_locked_once(home):
    home.prepare()
    first = home.lock()
    assert home.lock() is None
    os.close(first)

    second = home.lock()
    assert second is not None
    os.close(second)
