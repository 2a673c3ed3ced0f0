"""What `./bazaar` says where it can't make its environment: a plain sentence, and exit code 1."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tools import ROOT

_WITHOUT_VENV = f'case "$2" in *ensurepip*) exit 1 ;; *) exec {sys.executable} "$@" ;; esac'
_OLD = 'case "$2" in *version_info*) exit 1 ;; *python_version*) echo 3.9.2 ;; esac'


@pytest.fixture
def python(tmp_path: Path) -> Callable[[str], Path]:
    """Makes an interpreter from a shell script."""

    def make(script: str) -> Path:
        path = tmp_path / "python"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path

    return make


@pytest.fixture
def launch(tmp_path: Path) -> Callable[[Path], tuple[int, str]]:
    """Runs a launcher that has no environment yet with an interpreter; returns its exit code and what it says."""
    for name in ("bazaar", "requirements.txt", "requirements-redis.txt", "requirements-docs.txt"):
        shutil.copy(ROOT / name, tmp_path / name)

    def run(python: Path) -> tuple[int, str]:
        done = subprocess.run(
            [tmp_path / "bazaar", "status"], env={**os.environ, "BAZAAR_PYTHON": str(python)}, capture_output=True, text=True, timeout=60
        )
        assert done.stdout == ""
        return done.returncode, done.stderr

    return run


def test_an_old_python_is_named_with_its_version(python, launch):
    path = python(_OLD)

    assert launch(path) == (1, f"bazaar: Python 3.11 or newer is needed; {path} here is 3.9.2\n")


def test_a_missing_venv_module_is_named_with_its_package(python, launch):
    package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"

    assert launch(python(_WITHOUT_VENV)) == (
        1,
        f"bazaar: Python's venv module is missing; on Debian and Ubuntu it is in the package {package}\n",
    )


def test_a_missing_python_is_named(tmp_path, launch):
    assert launch(tmp_path / "none") == (1, f"bazaar: Python 3.11 or newer is needed, and none of these is there: {tmp_path / 'none'}\n")


def test_nothing_is_made_then(tmp_path, python, launch):
    launch(python(_OLD))

    assert not (tmp_path / ".venv").exists()


def test_modules_are_compiled_once_whatever_the_shell_says():
    asked = "import sys; print(sys.dont_write_bytecode, sys.pycache_prefix)"
    shell = (ROOT / "bazaar").read_text().replace("-P -m tools", f"-c '{asked}'")
    done = subprocess.run(
        ["sh", "-c", shell, str(ROOT / "bazaar")], env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}, capture_output=True, text=True
    )
    assert done.stdout == f"False {ROOT / '.venv' / 'compiled'}\n"


def test_an_environment_that_works_is_kept_though_another_python_is_found(python, launch, tmp_path: Path):
    made_by_another = tmp_path / ".venv" / "bin" / "python"
    made_by_another.parent.mkdir(parents=True)
    made_by_another.write_text('#!/bin/sh\ncase "$*" in *pip*) exit 1 ;; esac\n')
    made_by_another.chmod(0o755)
    calls = tmp_path / "calls"

    launch(python(f'case "$*" in *"-m venv"*) echo venv >>{calls} ;; *) exec {sys.executable} "$@" ;; esac'))

    assert not calls.exists()
