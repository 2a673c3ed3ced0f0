"""Fetching OpenSearch, with a Maven that is a shell script: the real one is asked wherever a full home runs."""

import zipfile
from pathlib import Path

import pytest

from tools.servers import maven
from tools.servers.maven import FetchFailed, MavenMissing
from tools.servers.opensearch import fetch

JAVA = Path("/opt/java/bin/java")
PLACE = "org/opensearch/distribution/integ-test-zip/opensearch/3.8.0"


class Machine:
    """One with a home directory, a cache and a Maven of its own that has one archive to give."""

    def __init__(self, folder: Path) -> None:
        self.cache = folder / "cache" / "bazaar"
        self.archive = folder / "opensearch-3.8.0.zip"
        with zipfile.ZipFile(self.archive, "w") as content:
            content.writestr("opensearch-3.8.0/lib/core.jar", "the core")
            content.writestr("opensearch-3.8.0/modules/rank-eval/plugin.jar", "of no use")
            content.writestr("opensearch-3.8.0/modules/reindex/plugin.jar", "of use")
        programs = folder / "bin"
        programs.mkdir()
        self._maven = programs / "mvn"
        self.environment = {"HOME": str(folder), "XDG_CACHE_HOME": str(folder / "cache"), "PATH": f"{programs}:/usr/bin:/bin"}
        self.maven(f'mkdir -p "$repository/{PLACE}"; cp {self.archive} "$repository/{PLACE}"')

    def maven(self, script: str) -> None:
        find = "for word; do case $word in -Dmaven.repo.local=*) repository=${word#*=} ;; esac; done"
        self._maven.write_text(f"#!/bin/sh\n{find}\n{script}\n")
        self._maven.chmod(0o755)

    def fetch(self, sha256: str = "") -> Path:
        return fetch(JAVA, self.environment, sha256 or maven.sha256(self.archive))

    def kept(self) -> list[str]:
        """What is in the cache, but for the lock."""
        return sorted(path.name for path in self.cache.iterdir() if path.suffix != ".lock")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_the_folder_is_the_distribution_without_what_nobody_needs(machine: Machine):
    place = machine.fetch()

    files = sorted(str(file.relative_to(place)) for file in place.rglob("*") if file.is_file())
    assert files == ["lib/core.jar", "modules/reindex/plugin.jar"]
    assert machine.kept() == ["opensearch-3.8.0"]


def test_what_is_there_is_not_fetched_again(machine: Machine):
    machine.fetch()
    machine.maven("exit 1")

    assert machine.fetch() == machine.cache / "opensearch-3.8.0"


def test_another_archive_is_refused_and_nothing_is_kept(machine: Machine):
    with pytest.raises(FetchFailed) as refused:
        machine.fetch(sha256="0" * 64)

    assert str(refused.value) == "the OpenSearch that Maven fetched is not the one that is expected; nothing was kept"
    assert machine.kept() == []


def test_a_maven_that_fails_says_why_and_nothing_is_kept(machine: Machine):
    machine.maven("echo '[ERROR] no route to host'; exit 1")
    with pytest.raises(FetchFailed) as refused:
        machine.fetch()

    assert str(refused.value) == "Maven could not fetch OpenSearch: [ERROR] no route to host"
    assert machine.kept() == []


def test_a_missing_maven_is_one_sentence_with_the_command_that_installs_it(machine: Machine):
    machine.environment["PATH"] = ""
    with pytest.raises(MavenMissing) as refused:
        machine.fetch()

    assert str(refused.value) == "OpenSearch is fetched by Maven, and there is none here: apt-get install maven"
