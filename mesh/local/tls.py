"""mTLS between sidecars: TLS 1.3 alone, and each side knows whom it speaks to."""

from __future__ import annotations

from typing import Any

from mesh.local.identities import PREFIX, spiffe_id
from mesh.local.places import Places

TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3."


def inbound(places: Places, service: str) -> dict[str, Any]:
    """A sidecar's side that is called: whoever comes has a certificate of this mesh's authority and trust domain."""
    context = {
        "@type": TLS + "DownstreamTlsContext",
        "require_client_certificate": True,
        # A session that is taken up again would outlive the certificate that it began with.
        "disable_stateless_session_resumption": True,
        "disable_stateful_session_resumption": True,
        "common_tls_context": _common(places, service, {"prefix": PREFIX}),
    }
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}


def outbound(places: Places, caller: str, callee: str) -> dict[str, Any]:
    """A sidecar's side that calls: it speaks to the very service that it means, or to nobody."""
    context = {"@type": TLS + "UpstreamTlsContext", "common_tls_context": _common(places, caller, {"exact": spiffe_id(callee)})}
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}


def _common(places: Places, own: str, peer: dict[str, str]) -> dict[str, Any]:
    source = {"path_config_source": {"path": str(places.certificate(own))}, "resource_api_version": "V3"}
    return {
        "alpn_protocols": ["h2"],
        # Envoy's clients go up to 1.2 alone unless told otherwise.
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
        "tls_certificate_sds_secret_configs": [{"name": own, "sds_config": source}],
        "validation_context": {
            "trusted_ca": {"filename": str(places.authority)},
            "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": peer}],
        },
    }
