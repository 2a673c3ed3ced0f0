"""What the README tells people to type works as it stands there."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from tests.flow.edge.client import Edge
from tests.running import RunningBazaar
from tools import ROOT
from tools.__main__ import app
from tools.sample.catalogue import catalogue

pytestmark = pytest.mark.edge

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
TABLE = re.findall(r"^\| `\./bazaar ([^`]*)` \|", README, re.MULTILINE)
HERE = "http://127.0.0.1:8080"
TESTED_ELSEWHERE = {"demo", "up", "down", "test", "check", "load", "profile", "replay", "import"}
"""By the tests of the commands themselves: they take long, or end what others use."""

COMMANDS = get_command(app).commands  # type: ignore[attr-defined]


def lines_of(block: str) -> list[str]:
    return block.replace("\\\n", " ").splitlines()


def bazaar_of(line: str) -> list[str]:
    """The arguments of a line that is a ./bazaar command; empty for others."""
    return shlex.split(line)[1:] if line.startswith("./bazaar ") else []


QUICK = [block for block in BLOCKS if not all((bazaar_of(line) or ["-"])[0] in TESTED_ELSEWHERE for line in lines_of(block))]
SHOWN = [arguments for block in BLOCKS for line in lines_of(block) if (arguments := bazaar_of(line))]


@pytest.fixture(scope="module")
def folder(running: RunningBazaar, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a reader stands: ./bazaar is the running system's, and a curl that is refused fails."""
    folder = tmp_path_factory.mktemp("reader")
    scripts = {
        "bazaar": f'cd {ROOT} && exec {sys.executable} -m tools --home {running.home.path} "$@"',
        "curl": f'exec {shutil.which("curl")} --fail-with-body "$@"',
    }
    for name, line in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{line}\n")
        (folder / name).chmod(0o755)
    edge = Edge(running)
    edge.stock({"productId": "readme-rice", "title": "Rice", "categoryPath": ["Grocery", "Rice"]})
    return folder


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl isn't installed")
@pytest.mark.parametrize("block", QUICK, ids=[block.split("\n", 1)[0] for block in QUICK])
def test_a_block_of_commands_runs(running: RunningBazaar, folder: Path, block: str):
    script = "set -euo pipefail\n" + block.replace(HERE, running.url)
    environment = {**running.environment(), "PATH": f"{folder}:{os.environ['PATH']}", "no_proxy": "*"}
    done = subprocess.run(["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("arguments", SHOWN, ids=" ".join)
def test_a_command_is_one_of_bazaars(arguments: list[str]):
    assert arguments[0] in COMMANDS
    assert options_in(" ".join(arguments)) <= options_of(arguments[0])


@pytest.mark.parametrize("line", TABLE)
def test_a_command_of_the_table_has_its_options(line: str):
    assert options_in(line) <= options_of(line.split()[0])


def test_every_command_is_in_the_table():
    assert sorted(line.split()[0] for line in TABLE) == sorted(COMMANDS)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(((?!http)[^)#]+)\)", README))))
def test_a_link_leads_somewhere(path: str):
    assert (ROOT / path).exists()


def test_a_path_in_a_command_is_there():
    paths = [argument for arguments in SHOWN for argument in arguments[1:] if "/" in argument]

    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_the_demo_has_the_categories_that_the_readme_asks_for():
    asked = set(re.findall(r"category=([a-z0-9.-]+)", README))

    assert asked <= {item.path[0].lower() for item in catalogue()}


def options_in(text: str) -> set[str]:
    return set(re.findall(r"(?<!\S)\[?\(?(--?[a-z][a-z-]*)", text))


def options_of(command: str) -> set[str]:
    return {option for parameter in COMMANDS[command].params for option in parameter.opts}
