"""Writes the edge's configuration: `python -m gateway HOME PORT TLS-PORT [WORKER-SOCKET...]`.

Without workers each service is asked at its own address (BAZAAR_ADDRESS_<SERVICE>), the log goes to standard output, and a TLS-PORT of 0
means none.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from gateway.envoy import Edge, configuration
from gateway.methods import WORKERS, descriptor_set, methods, service_files
from gateway.pages import pages
from gateway.settings import EdgeSettings
from gateway.shedding import write_level
from gateway.tls import write_secret
from services.kit.auth import Policy

CERTIFICATE, CERTIFICATE_KEY = "edge_certificate.pem", "edge_certificate_key.pem"
"""The home's own, among its secrets."""
SHEDDING = "shedding.yaml"
USERS = "users"
"""Where each service runs by itself: who counts calls for all edges, since it has a place in Redis for logins anyway."""
POLICY = Path(__file__).parent.parent / "mesh" / "policy.yaml"


def main(arguments: Sequence[str]) -> None:
    """Writes HOME/envoy/envoy.yaml and what it refers to."""
    home, port, tls_port, *workers = arguments
    write(Path(home), edge_document(Path(home), int(port), int(tls_port), workers))


def edge_document(home: Path, port: int, tls_port: int, workers: Sequence[str], counting: str = WORKERS) -> dict[str, Any]:
    """Envoy's configuration as the edge; writes what it refers to.

    Args:
        workers: their unix sockets.
        counting: the cluster whose members count for all edges.
    """
    folder = home / "envoy"
    files, settings = service_files(), EdgeSettings.of(os.environ)
    vault = home / "secrets"
    edge = Edge(
        port=port,
        tls_port=tls_port,
        certificate=folder / "certificate.yaml",
        workers=workers,
        jwks=vault / "jwks.json",
        descriptors=folder / "descriptors.pb",
        counting=counting if workers else USERS,
        shedding=folder / SHEDDING,
        admin=(Path(workers[0]).parent if workers else folder) / "envoy.sock",
        access_log=home / "logs" / "access.log" if workers else None,
        settings=settings,
        pages=pages(),
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_secret(edge.certificate, settings.certificate or vault / CERTIFICATE, settings.key or vault / CERTIFICATE_KEY)
    write_level(edge.shedding, settings.shed)
    edge.descriptors.write_bytes(descriptor_set(files).SerializeToString())
    found = methods(files, Policy.load(POLICY))
    return configuration(edge, found if workers else [replace(method, cluster=method.noun) for method in found])


def write(home: Path, document: dict[str, Any]) -> None:
    """Puts the configuration where Envoy is told to look."""
    # In C: it is 1.8 MB, and in Python that is most of what a first start has to do.
    (home / "envoy" / "envoy.yaml").write_text(yaml.dump(document, Dumper=yaml.CSafeDumper, sort_keys=False))


if __name__ == "__main__":
    main(sys.argv[1:])
