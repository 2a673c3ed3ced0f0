"""What Pulsar and its clients know each other by: tokens for roles, and certificates for the TLS port."""

from __future__ import annotations

import base64
import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from joserfc import jwt
from joserfc.jwk import ECKey

from tools.home import write_private

LIFE = timedelta(days=3650)
"""Of the certificates. They are this home's alone; to renew them, remove the three files and start again."""
CA, CERTIFICATE, KEY = "pulsar_ca.pem", "pulsar_certificate.pem", "pulsar_certificate_key.pem"


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
    """Makes a certificate for 127.0.0.1 and the authority that signed it, unless they are there.

    The authority's own key is kept nowhere: nothing else can ever be signed with it.
    """
    if all((vault / name).exists() for name in (CA, CERTIFICATE, KEY)):
        return
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority_name = _name("Bazaar, Pulsar of one machine")
    constraints = x509.BasicConstraints(ca=True, path_length=0)
    authority = _certificate(authority_name, authority_key.public_key(), authority_name).add_extension(constraints, critical=True)
    hosts = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")])
    purposes = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    server = _certificate(_name("127.0.0.1"), key.public_key(), authority_name)
    server = server.add_extension(hosts, critical=False).add_extension(purposes, critical=False)
    write_private(vault / KEY, _pkcs8(key))
    for name, certificate in ((CERTIFICATE, server), (CA, authority)):
        signed = certificate.sign(authority_key, hashes.SHA256())
        write_private(vault / name, signed.public_bytes(serialization.Encoding.PEM).decode())


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _certificate(subject: x509.Name, key: ec.EllipticCurvePublicKey, issuer: x509.Name) -> x509.CertificateBuilder:
    # A little in the past, for clocks that are set back.
    began = datetime.now(UTC) - timedelta(hours=1)
    builder = x509.CertificateBuilder(issuer, subject, key, x509.random_serial_number(), began, began + LIFE)
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)


def _private(pem: str) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(pem.encode(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def _pkcs8(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
