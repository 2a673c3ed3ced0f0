"""TLS at the edge: the same listener once more, on a port of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from gateway.headers import TYPES, http_filter

YEAR = 365 * 24 * 3600
SECRET = "edge"


def write_secret(file: Path, certificate: Path, key: Path) -> None:
    """Writes where the certificate is; Envoy watches its folder, and takes both files anew for new connections when one is moved there."""
    tls = {"certificate_chain": {"filename": str(certificate)}, "private_key": {"filename": str(key)}}
    secret = {
        "@type": TYPES + "transport_sockets.tls.v3.Secret",
        "name": SECRET,
        "tls_certificate": {**tls, "watched_directory": {"path": str(certificate.parent)}},
    }
    file.write_text(yaml.safe_dump({"resources": [secret]}, sort_keys=False))


def transport_socket(secret: Path) -> dict[str, Any]:
    """A filter chain's: TLS 1.2 or later, HTTP/2 or HTTP/1.1."""
    source = {"name": SECRET, "sds_config": {"path_config_source": {"path": str(secret)}, "resource_api_version": "V3"}}
    common = {
        "alpn_protocols": ["h2", "http/1.1"],
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2", "tls_maximum_protocol_version": "TLSv1_3"},
        "tls_certificate_sds_secret_configs": [source],
    }
    context = {"@type": TYPES + "transport_sockets.tls.v3.DownstreamTlsContext", "common_tls_context": common}
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}


def strict_transport() -> dict[str, Any]:
    """A filter that tells browsers to come by TLS alone for a year."""
    header = {"key": "strict-transport-security", "value": f"max-age={YEAR}"}
    mutation = {"append": {"header": header, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}}
    return http_filter("header_mutation", "HeaderMutation", mutations={"response_mutations": [mutation]})
