"""An OpenSearch node for tests: what is marked `opensearch` runs with BAZAAR_TEST_ALL, and where Java and Maven are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.servers import Running

START_SECONDS = 90
TIMEOUT = pytest.mark.timeout(400)
"""A first test waits for 160 MB."""
SKIPPED = pytest.mark.skipif(
    not os.environ.get("BAZAAR_TEST_ALL"), reason="needs Java and 160 MB of OpenSearch; ./bazaar test --all -m opensearch"
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Says of what is marked that it runs on request only."""
    for item in items:
        if item.get_closest_marker("opensearch"):
            item.add_marker(SKIPPED)
            item.add_marker(TIMEOUT)


@pytest.fixture(scope="session")
def opensearch_url(short_directory: Path) -> Iterator[str]:
    """The address of a node that tests share."""
    opensearch = pytest.importorskip("tools.servers.opensearch", reason="the node's process isn't part of this tree")
    java = pytest.importorskip("tools.servers.java")
    maven = pytest.importorskip("tools.servers.maven")
    try:
        opensearch.fetch(java.find_java(os.environ, opensearch.JAVA), os.environ)
    except (java.JavaMissing, maven.MavenMissing) as missing:
        pytest.skip(str(missing))
    server = opensearch.OpenSearch(short_directory / "opensearch")
    with Running(server, short_directory / "opensearch.log", timeout=START_SECONDS):
        yield server.url
