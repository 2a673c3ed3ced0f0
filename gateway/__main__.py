"""Writes the edge's configuration: `python -m gateway HOME PORT WORKER-SOCKET...`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from gateway.envoy import Edge, configuration
from gateway.methods import descriptor_set, methods, service_files
from gateway.settings import EdgeSettings
from services.kit.auth import Policy

POLICY = Path(__file__).parent.parent / "mesh" / "policy.yaml"


def main(arguments: Sequence[str]) -> None:
    """Writes HOME/envoy/descriptors.pb and HOME/envoy/envoy.yaml, and makes HOME/envoy/cache."""
    home, port, *workers = arguments
    folder = Path(home) / "envoy"
    files = service_files()
    edge = Edge(
        port=int(port),
        workers=workers,
        jwks=Path(home) / "secrets" / "jwks.json",
        descriptors=folder / "descriptors.pb",
        cache=folder / "cache",
        admin=Path(workers[0]).parent / "envoy.sock",
        access_log=Path(home) / "logs" / "access.log",
        settings=EdgeSettings.of(os.environ),
    )
    edge.cache.mkdir(exist_ok=True)
    edge.descriptors.write_bytes(descriptor_set(files).SerializeToString())
    document = configuration(edge, methods(files, Policy.load(POLICY)))
    (folder / "envoy.yaml").write_text(yaml.safe_dump(document, sort_keys=False))


if __name__ == "__main__":
    main(sys.argv[1:])
