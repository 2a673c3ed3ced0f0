"""Pulsar's jars: fetched once by Maven, compared with their hashes, and shared by every home of this user."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import contextmanager
from pathlib import Path

from tools import ExpectedFailure
from tools.servers import Program

VERSION = "4.0.7"
POM = Path(__file__).with_name("pom.xml")
HASHES = Path(__file__).with_name("jars.sha256")
GOAL = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"

Progress = Callable[[int, int], None]
"""Told how many jars have come, of how many."""


class MavenMissing(ExpectedFailure):
    """The jars are not there, and nothing to fetch them with."""


class FetchFailed(ExpectedFailure):
    """The jars did not come, or others than expected; nothing was kept."""


def folder(environment: Mapping[str, str]) -> Path:
    """Where the jars are, or will be: whole, or not there at all."""
    cache = environment.get("XDG_CACHE_HOME") or Path(environment.get("HOME", "~")).expanduser() / ".cache"
    return Path(cache) / "bazaar" / f"pulsar-{VERSION}"


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
    jars = folder(environment)
    if jars.exists():
        return jars
    maven = shutil.which("mvn", path=environment.get("PATH", ""))
    if maven is None:
        raise MavenMissing("Pulsar's jars are fetched by Maven, and there is none here: apt-get install maven")
    jars.parent.mkdir(parents=True, exist_ok=True)
    with locked(jars):
        if not jars.exists():
            _fetch(maven, jars, {**environment, "JAVA_HOME": str(java.resolve().parent.parent)}, progress, _expected(hashes))
    return jars


def _fetch(maven: str, jars: Path, environment: Mapping[str, str], progress: Progress, expected: Mapping[str, str]) -> None:
    """Works beside the place, and with a repository of Maven's that goes with it: what was cut short or is wrong is never used again."""
    unfinished = jars.with_name(f"{jars.name}.new")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    try:
        _run_maven(maven, unfinished, environment, progress, expected.keys())
        _compare(unfinished / "jars", expected)
        (unfinished / "jars").rename(jars)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _run_maven(maven: str, place: Path, environment: Mapping[str, str], progress: Progress, names: Set[str]) -> None:
    options = [f"-Dmaven.repo.local={place / 'repository'}", f"-DoutputDirectory={place / 'jars'}", "-DincludeScope=runtime"]
    # Ends with this process, whose lock goes to the next one that fetches.
    command = Program([maven, "--batch-mode", "--file", str(POM), GOAL, *options]).command()
    seen: set[str] = set()
    said = ""
    with subprocess.Popen(command, env=dict(environment), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                seen |= names & set(re.findall(r"Downloaded from .*/(\S+\.jar)", line))
                progress(len(seen), len(names))
                said = line.strip() if "ERROR" in line and not said else said
        except BaseException:
            process.terminate()
            raise
    if process.returncode:
        raise FetchFailed(f"Maven could not fetch Pulsar's jars: {said or 'it said nothing'}"[:400])


def _compare(jars: Path, expected: Mapping[str, str]) -> None:
    """Checks that the folder holds what is expected, and nothing else."""
    found = {file.name: _sha256(file) for file in jars.iterdir()} if jars.exists() else {}
    if wrong := sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)):
        raise FetchFailed(f"{len(wrong)} of Pulsar's jars are not what {HASHES.name} says, {wrong[0]} for one; nothing was kept")


def _expected(hashes: Path) -> dict[str, str]:
    lines = [line.split() for line in hashes.read_text().splitlines()]
    return {name: digest for digest, name in lines}


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


@contextmanager
def locked(place: Path) -> Iterator[None]:
    """One at a time makes what is to be there, whatever process; the kernel frees the lock of one that dies."""
    descriptor = os.open(place.with_name(f"{place.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
