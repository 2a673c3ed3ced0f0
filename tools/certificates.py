"""Certificates that a home makes for its own servers."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from tools.home import write_private

LIFE = timedelta(days=3650)
"""Of the certificates. They are this home's alone; to renew them, remove their files and start again."""

SERVES, CALLS = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH


class Files(NamedTuple):
    """Names of PEM files."""

    authority: str
    certificate: str
    key: str


def make_missing(vault: Path, files: Files, authority: str, purposes: Sequence[ObjectIdentifier]) -> None:
    """Makes a certificate for this machine's loopback and the authority that signed it, unless they are there.

    The authority's own key is kept nowhere: nothing else can ever be signed with it.

    Args:
        authority: its name.
        purposes: what the certificate may be used for.
    """
    if all((vault / name).exists() for name in files):
        return
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = _name(authority)
    constraints = x509.BasicConstraints(ca=True, path_length=0)
    own = _certificate(issuer, authority_key.public_key(), issuer).add_extension(constraints, critical=True)
    hosts = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")])
    server = _certificate(_name("127.0.0.1"), key.public_key(), issuer)
    server = server.add_extension(hosts, critical=False).add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    write_private(vault / files.key, _pkcs8(key))
    for name, certificate in ((files.certificate, server), (files.authority, own)):
        signed = certificate.sign(authority_key, hashes.SHA256())
        write_private(vault / name, signed.public_bytes(serialization.Encoding.PEM).decode())


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _certificate(subject: x509.Name, key: ec.EllipticCurvePublicKey, issuer: x509.Name) -> x509.CertificateBuilder:
    # A little in the past, for clocks that are set back.
    began = datetime.now(UTC) - timedelta(hours=1)
    builder = x509.CertificateBuilder(issuer, subject, key, x509.random_serial_number(), began, began + LIFE)
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)


def _pkcs8(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
