"""A broker that was killed again and again: each time the storage's lock is left behind, and must not be fought over."""

import time

import pytest

from tests.pulsar import running_pulsar
from tools.processes import cpu_ticks
from tools.servers.pulsar import storage

TICKS_A_SECOND = 100
SECONDS = 3
KILLS = 3


def test_a_place_without_metadata_was_not_cut_off(tmp_path):
    assert not storage.was_cut_off(tmp_path)


@pytest.mark.parametrize(("last", "expected"), [("[/db_impl.cc:704] Shutdown complete", False), ("[/db_impl.cc:497] Flushing", True)])
def test_the_last_word_of_the_metadata_tells_a_kill(tmp_path, last, expected):
    (tmp_path / "LOG").write_text(f"[/db_impl.cc:1] Opened\n{last}\n")

    assert storage.was_cut_off(tmp_path) == expected


def test_metadata_that_cannot_be_read_is_one_sentence(tmp_path):
    (tmp_path / "LOG").write_text("cut off")
    with pytest.raises(storage.StartFailed) as refused:
        storage.forget_locks(lambda *_: ["/bin/sh", "-c", "echo no such store >&2"], tmp_path)

    assert str(refused.value) == "Pulsar's metadata can't be read: no such store"


@pytest.mark.pulsar
def test_a_broker_is_at_rest_after_each_of_several_kills(pulsar_jars, folder):
    with running_pulsar(folder) as broker:
        for _ in range(KILLS):
            broker.kill()
            broker.start()
            before = cpu_ticks(broker.pid)
            time.sleep(SECONDS)

            # In the fight, which comes about after some kills and not after others, it takes all of a core.
            assert cpu_ticks(broker.pid) - before < SECONDS * TICKS_A_SECOND / 2
