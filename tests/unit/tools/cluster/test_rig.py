import os
import re
import subprocess
import sys

import pytest

from tools import ROOT, ExpectedFailure
from tools.cluster.rig import build


def test_without_go_it_says_what_is_missing(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "")

    with pytest.raises(ExpectedFailure, match=r"need Go 1\.26 or later"):
        build.programs(print)


def test_the_command_says_so_too_and_fails(tmp_path):
    environment = {**os.environ, "PATH": "", "XDG_CACHE_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "tools", "--home", str(tmp_path / "home"), "test", "mesh-kubernetes"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stderr.startswith("bazaar: these checks need Go 1.26 or later")
    assert done.stderr.count("\n") == 1


def test_what_is_built_already_is_not_built_again(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(build, "_go", lambda *arguments, cwd: (tmp_path / arguments[arguments.index("-o") + 1]).touch())
    told = []

    folders = {build.programs(told.append) for _ in range(2)}

    assert len(folders) == 1
    assert told == [f"building {name} (once)" for commands in build.PROGRAMS.values() for name in commands]


@pytest.mark.parametrize("module", sorted(build.PROGRAMS))
def test_every_program_is_pinned_by_its_module(module):
    imported = (build.MODULES / module / "tools.go").read_text()

    assert re.findall(r'_ "([^"]+)"', imported) == sorted(build.PROGRAMS[module].values())
    assert (build.MODULES / module / "go.sum").stat().st_size > 10_000
