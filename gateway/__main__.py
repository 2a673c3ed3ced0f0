"""Writes the edge's configuration: `python -m gateway HOME PORT TLS-PORT WORKER-SOCKET...`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from gateway.envoy import Edge, configuration
from gateway.methods import descriptor_set, methods, service_files
from gateway.settings import EdgeSettings
from gateway.tls import write_secret
from services.kit.auth import Policy

CERTIFICATE, CERTIFICATE_KEY = "edge_certificate.pem", "edge_certificate_key.pem"
"""The home's own, among its secrets."""
POLICY = Path(__file__).parent.parent / "mesh" / "policy.yaml"


def main(arguments: Sequence[str]) -> None:
    """Writes HOME/envoy/envoy.yaml and what it refers to, and makes HOME/envoy/cache."""
    home, port, tls_port, *workers = arguments
    folder = Path(home) / "envoy"
    files, settings = service_files(), EdgeSettings.of(os.environ)
    vault = Path(home) / "secrets"
    edge = Edge(
        port=int(port),
        tls_port=int(tls_port),
        certificate=folder / "certificate.yaml",
        workers=workers,
        jwks=vault / "jwks.json",
        descriptors=folder / "descriptors.pb",
        cache=folder / "cache",
        admin=Path(workers[0]).parent / "envoy.sock",
        access_log=Path(home) / "logs" / "access.log",
        settings=settings,
    )
    edge.cache.mkdir(exist_ok=True)
    write_secret(edge.certificate, settings.certificate or vault / CERTIFICATE, settings.key or vault / CERTIFICATE_KEY)
    edge.descriptors.write_bytes(descriptor_set(files).SerializeToString())
    document = configuration(edge, methods(files, Policy.load(POLICY)))
    (folder / "envoy.yaml").write_text(yaml.safe_dump(document, sort_keys=False))


if __name__ == "__main__":
    main(sys.argv[1:])
