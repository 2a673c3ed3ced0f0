"""Writes the configuration of edge and mesh: `python -m mesh.local HOME SOCKETS PORT TLS-PORT SERVICE...`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from gateway.__main__ import POLICY, edge_document, write
from gateway.methods import WORKERS, methods, service_files
from mesh.local.envoy import add_mesh
from mesh.local.places import Places
from services.kit.auth import Policy

COUNTS = "users"
"""Who counts calls for the edge: a service with a place of its own in Redis. Like health, what is asked there is no call of the mesh."""


def main(arguments: Sequence[str]) -> None:
    """Writes HOME/envoy/envoy.yaml; what it refers to of the mesh is there already, or comes in its time."""
    home, sockets, port, tls_port, *services = arguments
    places = Places(Path(home) / "mesh", Path(sockets), services)
    sockets_of = [str(places.app(service)) for service in services]
    document = edge_document(Path(home), int(port), int(tls_port), sockets_of, counting=f"app-{COUNTS}")
    document["admin"]["address"]["pipe"]["path"] = str(Path(sockets) / "envoy.sock")
    add_mesh(document, places, methods(service_files(), Policy.load(POLICY)), WORKERS)
    write(Path(home), document)


if __name__ == "__main__":
    main(sys.argv[1:])
