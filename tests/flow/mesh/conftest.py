"""A running mesh, with a policy of its own that a test may change, and a lamp on sale."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flow.edge.client import Edge
from tests.running import RunningBazaar
from tools import ROOT

LAMP = "mesh-lamp"


@pytest.fixture(scope="module")
def policy_file(short_directory: Path) -> Path:
    file = short_directory / "policy.yaml"
    file.write_text((ROOT / "mesh" / "policy.yaml").read_text())
    return file


@pytest.fixture(scope="module")
def mesh(short_directory: Path, policy_file: Path) -> Iterator[RunningBazaar]:
    """The mesh that tests share; leave it running, and as it was."""
    bazaar = RunningBazaar(short_directory / "mesh", "--mesh", BAZAAR_POLICY=str(policy_file))
    try:
        bazaar.start()
        yield bazaar
    finally:
        bazaar.run("down")


@pytest.fixture(scope="module")
def edge(mesh: RunningBazaar) -> Iterator[Edge]:
    edge = Edge(mesh)
    edge.stock({"productId": LAMP, "title": "Lamp", "categoryPath": ["Mesh", "Lights"]})
    yield edge
    edge.http.close()
