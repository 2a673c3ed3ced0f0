"""What Maven fetches once for all homes of this user: whole, with the expected hashes, or not there at all."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tools import ExpectedFailure
from tools.servers import Program

PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1"


class MavenMissing(ExpectedFailure):
    """Something is not there, and nothing to fetch it with."""


class FetchFailed(ExpectedFailure):
    """It did not come, or something else than expected; nothing was kept."""


def cache(environment: Mapping[str, str]) -> Path:
    """The folder of all that was fetched."""
    place = environment.get("XDG_CACHE_HOME") or Path(environment.get("HOME", "~")).expanduser() / ".cache"
    return Path(place) / "bazaar"


def fetched(place: Path, what: str, environment: Mapping[str, str], make: Callable[[str, Path], Path]) -> Path:
    """The place, made unless it is there.

    Args:
        what: it is, as the first words of a sentence.
        make: given the path of Maven and an empty folder, makes in it what is to be there; returns where.

    Raises:
        MavenMissing: it is not there, and neither is Maven.
        FetchFailed: `make` did not succeed.
    """
    if place.exists():
        return place
    maven = shutil.which("mvn", path=environment.get("PATH", ""))
    if maven is None:
        raise MavenMissing(f"{what} fetched by Maven, and there is none here: apt-get install maven")
    place.parent.mkdir(parents=True, exist_ok=True)
    with locked(place):
        if not place.exists():
            _make(place, lambda folder: make(maven, folder))
    return place


def _make(place: Path, make: Callable[[Path], Path]) -> None:
    """Works beside the place: what was cut short or is wrong is never used again."""
    unfinished = place.with_name(f"{place.name}.new")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    try:
        make(unfinished).rename(place)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def run(maven: str, words: Sequence[str], folder: Path, java: Path, environment: Mapping[str, str], came: Callable[[str], None]) -> None:
    """Runs Maven with a repository of its own, which goes with the folder.

    Args:
        came: told the name of each file that was downloaded.

    Raises:
        FetchFailed: it failed; the message is the first that it complains of.
    """
    # Ends with this process, whose lock goes to the next one that fetches.
    command = Program([maven, "--batch-mode", f"-Dmaven.repo.local={folder / 'repository'}", *words]).command()
    own = {**environment, "JAVA_HOME": str(java.resolve().parent.parent)}
    said = ""
    with subprocess.Popen(command, env=own, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                for name in re.findall(r"Downloaded from .*/(\S+)", line):
                    came(name)
                said = line.strip() if "ERROR" in line and not said else said
        except BaseException:
            process.terminate()
            raise
    if process.returncode:
        raise FetchFailed(said or "it said nothing")


def sha256(file: Path) -> str:
    """A file's hash, in hexadecimal."""
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
