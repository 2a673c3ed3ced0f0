"""Pulsar's jars: fetched once by Maven, compared with their hashes, and shared by every home of this user."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

from tools.servers import maven
from tools.servers.java import Need
from tools.servers.maven import FetchFailed

VERSION = "4.0.7"
JAVA = Need("Pulsar", 17)
POM = Path(__file__).with_name("pom.xml")
HASHES = Path(__file__).with_name("jars.sha256")

Progress = Callable[[int, int], None]
"""Told how many jars have come, of how many."""


def folder(environment: Mapping[str, str]) -> Path:
    """Where the jars are, or will be: whole, or not there at all."""
    return maven.cache(environment) / f"pulsar-{VERSION}"


def archive(java: Path, environment: Mapping[str, str]) -> Path:
    """Where that very Java's archive of the classes in the jars is, or will be; see `rehearsal.py`."""
    program = java.resolve()
    which = hashlib.sha256(f"{program} {program.stat().st_mtime_ns}".encode()).hexdigest()[:8]
    return folder(environment).with_name(f"pulsar-{VERSION}-{which}.jsa")


def fetch(java: Path, environment: Mapping[str, str], progress: Progress = lambda *_: None, hashes: Path = HASHES) -> Path:
    """Fetches the jars unless they are there (234 MB); returns their folder.

    Raises:
        MavenMissing: they are not there, and neither is Maven.
        FetchFailed: Maven failed, or a jar is not the one that is expected.
    """
    expected, seen = _expected(hashes), set[str]()

    def came(name: str) -> None:
        seen.update({name} & expected.keys())
        progress(len(seen), len(expected))

    def make(program: str, place: Path) -> Path:
        words = ["--file", str(POM), f"{maven.PLUGIN}:copy-dependencies", f"-DoutputDirectory={place / 'jars'}", "-DincludeScope=runtime"]
        try:
            maven.run(program, words, place, java, environment, came)
        except FetchFailed as failure:
            raise FetchFailed(f"Maven could not fetch Pulsar's jars: {failure}"[:400]) from None
        _compare(place / "jars", expected)
        return place / "jars"

    return maven.fetched(folder(environment), "Pulsar's jars are", environment, make)


def _compare(jars: Path, expected: Mapping[str, str]) -> None:
    """Checks that the folder holds what is expected, and nothing else."""
    found = {file.name: maven.sha256(file) for file in jars.iterdir()} if jars.exists() else {}
    if wrong := sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)):
        raise FetchFailed(f"{len(wrong)} of Pulsar's jars are not what {HASHES.name} says, {wrong[0]} for one; nothing was kept")


def _expected(hashes: Path) -> dict[str, str]:
    lines = [line.split() for line in hashes.read_text().splitlines()]
    return {name: digest for digest, name in lines}
