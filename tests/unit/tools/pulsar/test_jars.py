"""Fetching Pulsar's jars, with a Maven that is a shell script: the real one is asked wherever a broker runs."""

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tools import ROOT
from tools.servers.maven import FetchFailed, MavenMissing
from tools.servers.pulsar import fetch
from tools.servers.pulsar.jars import HASHES

JAVA = Path("/opt/java/bin/java")
JARS = {"broker.jar": "the broker", "client.jar": "the client"}
FIND = 'for word; do case $word in -DoutputDirectory=*) jars=${word#*=} ;; esac; done; mkdir "$jars"; echo >>"$HOME/runs"; '
GOOD = FIND + "".join(f"printf '{text}' >$jars/{name}; echo 'Downloaded from place: far/{name} (1 kB)'; " for name, text in JARS.items())


class Machine:
    """One with a home directory, a cache and a Maven of its own."""

    def __init__(self, folder: Path) -> None:
        self.cache = folder / "cache" / "bazaar"
        self.place = self.cache / "pulsar-4.0.7"
        self.runs = folder / "runs"
        self.hashes = folder / "jars.sha256"
        self.hashes.write_text("".join(f"{hashlib.sha256(text.encode()).hexdigest()}  {name}\n" for name, text in JARS.items()))
        self._programs = folder / "bin"
        self._programs.mkdir()
        self.environment = {"HOME": str(folder), "XDG_CACHE_HOME": str(folder / "cache"), "PATH": f"{self._programs}:/usr/bin:/bin"}

    def maven(self, script: str) -> None:
        path = self._programs / "mvn"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def fetch(self, progress=lambda *_: None) -> Path:
        return fetch(JAVA, self.environment, progress, self.hashes)

    def kept(self) -> list[str]:
        """What is in the cache, but for the lock."""
        return sorted(path.name for path in self.cache.iterdir() if path.suffix != ".lock")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_the_folder_holds_the_jars_and_nothing_is_left_beside_it(machine):
    machine.maven(GOOD)

    assert {file.name: file.read_text() for file in machine.fetch().iterdir()} == JARS
    assert machine.kept() == ["pulsar-4.0.7"]


def test_progress_counts_jars(machine):
    machine.maven(GOOD)
    told = []
    machine.fetch(lambda *counts: told.append(counts))

    assert told == [(1, 2), (2, 2)]


def test_jars_that_are_there_are_not_fetched_again(machine):
    machine.maven(GOOD)
    machine.fetch()
    machine.maven("exit 1")

    assert machine.fetch() == machine.place


def test_two_at_a_time_fetch_once(machine):
    machine.maven(GOOD)
    both = [threading.Thread(target=machine.fetch) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()

    assert (len(machine.runs.read_text().splitlines()), machine.kept()) == (1, ["pulsar-4.0.7"])


@pytest.mark.parametrize(
    ("spoilt", "wrong"),
    [
        ("printf 'another broker' >$jars/broker.jar", "broker.jar"),
        ("rm $jars/client.jar", "client.jar"),
        ("touch $jars/more.jar", "more.jar"),
    ],
    ids=["another content", "too few", "too many"],
)
def test_other_jars_than_those_expected_are_refused_and_nothing_is_kept(machine, spoilt, wrong):
    machine.maven(GOOD + spoilt)
    with pytest.raises(FetchFailed) as refused:
        machine.fetch()

    assert str(refused.value) == f"1 of Pulsar's jars are not what jars.sha256 says, {wrong} for one; nothing was kept"
    assert machine.kept() == []


def test_a_maven_that_fails_says_why_and_nothing_is_kept(machine):
    machine.maven(GOOD + "echo '[ERROR] no route to host'; echo '[ERROR] more'; exit 1")
    with pytest.raises(FetchFailed) as refused:
        machine.fetch()

    assert str(refused.value) == "Maven could not fetch Pulsar's jars: [ERROR] no route to host"
    assert machine.kept() == []


def test_a_missing_maven_is_one_sentence_with_the_command_that_installs_it(machine):
    machine.environment["PATH"] = ""
    with pytest.raises(MavenMissing) as refused:
        machine.fetch()

    assert str(refused.value) == "Pulsar's jars are fetched by Maven, and there is none here: apt-get install maven"


def test_a_fetch_that_was_killed_takes_maven_along_and_the_next_starts_over(machine):
    machine.maven(FIND + 'touch "$jars/half.jar"; echo $$ >"$HOME/pid"; exec sleep 60')
    call = f"from pathlib import Path; from tools.servers.pulsar import fetch; import os; fetch(Path({str(JAVA)!r}), os.environ)"
    process = subprocess.Popen([sys.executable, "-c", call], cwd=ROOT, env={**machine.environment, "PYTHONPATH": str(ROOT)})
    while not (text := _text(machine.runs.with_name("pid"))):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    while Path(f"/proc/{text}").exists():
        time.sleep(0.01)
    assert machine.kept() == ["pulsar-4.0.7.new"]
    machine.maven(GOOD)

    assert {file.name: file.read_text() for file in machine.fetch().iterdir()} == JARS
    assert machine.kept() == ["pulsar-4.0.7"]


def test_every_jar_of_the_project_has_a_hash_and_no_place_to_come_from():
    lines = [line.split("  ") for line in HASHES.read_text().splitlines()]

    assert len(lines) == 316
    assert all(len(digest) == 64 and name == os.path.basename(name) and name.endswith(".jar") for digest, name in lines)


def _text(file: Path) -> str:
    return file.read_text().strip() if file.exists() else ""
