"""OpenSearch's distribution: fetched once by Maven, compared with its hash, and shared by every home of this user.

It is the one that others' tests run with, and the only one that Maven has: without plugins, and so without TLS and users of its own.
"""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path

from tools.servers import maven
from tools.servers.java import Need
from tools.servers.maven import FetchFailed

VERSION = "3.8.0"
JAVA = Need("OpenSearch", 21)
ARTIFACT = f"org.opensearch.distribution.integ-test-zip:opensearch:{VERSION}:zip"
SHA256 = "196c3cf4602c394f2e40e6174ccbf2a924eae37246f08fa6bbb6b75f9fd5ff1f"
UNUSED = (
    "cache-common",
    "ingest-geoip",
    "ingest-user-agent",
    "opensearch-dashboards",
    "rank-eval",
    "repository-url",
    "rule-framework",
    "search-pipeline-common",
    "store-subdirectory",
    "transport-grpc",
)
"""Modules that cost memory and seconds of a start, and that a shop's index has no use for."""


def folder(environment: Mapping[str, str]) -> Path:
    """Where the distribution is, or will be: whole, or not there at all."""
    return maven.cache(environment) / f"opensearch-{VERSION}"


def fetch(java: Path, environment: Mapping[str, str], sha256: str = SHA256) -> Path:
    """Fetches the distribution unless it is there (160 MB); returns its folder.

    Raises:
        MavenMissing: it is not there, and neither is Maven.
        FetchFailed: Maven failed, or what came is not what is expected.
    """

    def make(program: str, place: Path) -> Path:
        words = [f"{maven.PLUGIN}:get", f"-Dartifact={ARTIFACT}", "-Dtransitive=false"]
        try:
            maven.run(program, words, place, java, environment, lambda _: None)
        except FetchFailed as failure:
            raise FetchFailed(f"Maven could not fetch OpenSearch: {failure}"[:400]) from None
        archives = list((place / "repository").rglob(f"opensearch-{VERSION}.zip"))
        if [maven.sha256(archive) for archive in archives] != [sha256]:
            raise FetchFailed("the OpenSearch that Maven fetched is not the one that is expected; nothing was kept")
        return _unpack(archives[0], place / "unpacked")

    return maven.fetched(folder(environment), "OpenSearch is", environment, make)


def _unpack(archive: Path, place: Path) -> Path:
    with zipfile.ZipFile(archive) as content:
        content.extractall(place)
    [whole] = place.iterdir()
    for module in UNUSED:
        shutil.rmtree(whole / "modules" / module, ignore_errors=True)
    return whole
