"""What Pulsar and its clients know each other by: tokens for roles, and certificates for the TLS port."""

from __future__ import annotations

import base64
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc import jwt
from joserfc.jwk import ECKey

from tools import certificates

FILES = certificates.Files("pulsar_ca.pem", "pulsar_certificate.pem", "pulsar_certificate_key.pem")


def token(signing_key: str, role: str) -> str:
    """A token (ES256) that makes its bearer that role, for as long as the key is in use.

    Args:
        signing_key: the private key, PEM.
    """
    return jwt.encode({"alg": "ES256"}, {"sub": role}, ECKey.import_key(signing_key), algorithms=["ES256"])


def public_key(signing_key: str) -> str:
    """The public half as Pulsar reads it from a setting: a data URL of X.509's DER."""
    der = _private(signing_key).public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return "data:;base64," + base64.b64encode(der).decode()


def make_certificates(vault: Path) -> None:
    """Makes what the TLS port needs, unless it is there."""
    certificates.make_missing(vault, FILES, "Bazaar, Pulsar of one machine", [certificates.SERVES, certificates.CALLS])


def _private(pem: str) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(pem.encode(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key
